//! One pattern of `needs`.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// A glob that is compared with names as it stands, and with paths as an absolute path.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    name: GlobMatcher,
    /// The absolute forms: the pattern, and the folder of a pattern that reaches all inside of it.
    paths: Vec<GlobMatcher>,
}

impl Pattern {
    /// Compile a pattern, or say what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.starts_with("~/") || text == "~" {
            return Err("write the home folder in full".to_owned());
        }
        let name = compile(text)?;
        let mut pattern = Self {
            text: text.to_owned(),
            name,
            paths: Vec::new(),
        };
        pattern.paths = pattern.absolute("/")?;
        Ok(pattern)
    }

    /// Let a relative pattern start from this folder.
    pub fn base_on(&mut self, folder: &Path) {
        // Whatever stands in the folder's own name is meant literally.
        let folder = globset::escape(&folder.to_string_lossy());
        self.paths = self.absolute(&folder).unwrap_or_default();
    }

    /// The pattern as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it covers a resource.
    pub fn matches(&self, resource: &str) -> bool {
        if is_path(resource) {
            let path = normal(resource);
            return self.paths.iter().any(|form| form.is_match(&path));
        }
        self.name.is_match(resource)
    }

    fn absolute(&self, folder: &str) -> Result<Vec<GlobMatcher>, String> {
        let joined = match self.text.starts_with('/') {
            true => self.text.clone(),
            false => format!("{folder}/{}", self.text),
        };
        let path = normal(&joined);
        let inside = path.strip_suffix("/**").map(str::to_owned);
        let forms = match (inside, self.text.ends_with('/')) {
            (Some(folder), _) => vec![compile(&path)?, compile(&folder)?],
            (None, true) => vec![
                compile(&path)?,
                compile(&format!("{}/**", path.trim_end_matches('/')))?,
            ],
            (None, false) => vec![compile(&path)?],
        };
        Ok(forms)
    }
}

fn compile(glob: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| error.kind().to_string())
}

/// A name such as `db.example.org` or `library/postgres` is no path; what climbs is one, so that
/// `data/../../etc` is not taken for something in `data`.
fn is_path(resource: &str) -> bool {
    resource.starts_with('/') || resource.split('/').any(|part| part == ".." || part == ".")
}

/// An absolute path without `.`, `..` and doubled slashes.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
