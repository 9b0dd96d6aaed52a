//! Finding files by a pattern.

use std::path::{Path, PathBuf};

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{Cx, Error, FromArg, Mismatch, Result, primitive};

use crate::files::{Files, PatternPart, Work, blocking, folder_of_run, resolve};

/// The most paths that one call returns.
const MOST: usize = 100_000;

/// The paths that match a pattern, sorted: `*` and `?` within a name, `[a-z]`, `{a,b}`, and `**` for
/// any number of directories.
///
/// The paths are absolute. Names that begin with a dot are matched only by a pattern that does so too.
/// Symbolic links are found, but no link below the fixed beginning of the pattern is entered. The
/// permission is asked for the pattern itself: `fs: ["logs/**"]` permits `fs::glob("logs/*.gz")`.
///
/// # Errors
/// `argument.type` for what is no pattern, `fs.too_many` beyond 100,000 paths. A directory that does
/// not exist matches nothing; one that can't be read is left out.
///
/// # Example
/// ```rhai
/// fs::write("logs/web/a.log", "", #{ parents: true });
/// fs::write("logs/b.log", "");
/// assert(fs::glob("logs/**/*.log").len() == 2);
/// assert(fs::glob("logs/*.{log,gz}").len() == 1);
/// ```
#[primitive(read, needs = fs(pattern))]
async fn glob(cx: &Cx, pattern: GlobPattern) -> Result<Vec<String>> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |work| {
        let mut found = Vec::new();
        let search = Search {
            files: &files,
            work,
        };
        search.walk(&pattern.base, &pattern.parts, &mut found)?;
        found.sort();
        found.dedup();
        Ok(found
            .into_iter()
            .map(|path: PathBuf| path.display().to_string())
            .collect())
    })
    .await
}

/// A pattern, taken apart into the directory where the search begins and what to look for below.
#[derive(Debug, Clone)]
struct GlobPattern {
    base: PathBuf,
    parts: Vec<PatternPart>,
}

impl std::fmt::Display for GlobPattern {
    /// The permission's resource. `**` is shown with a level below it, so that a permission for one
    /// level (`logs/*`) does not cover a search through all of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.base.display())?;
        for part in &self.parts {
            match part {
                PatternPart::AnyDepth => f.write_str("/**/*")?,
                PatternPart::Name { text, .. } => write!(f, "/{text}")?,
            }
        }
        Ok(())
    }
}

impl FromArg for GlobPattern {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let text = String::from_arg(value)?;
        Self::parse(&text, &folder_of_run()?).map_err(Mismatch::Value)
    }
}

impl GlobPattern {
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let absolute = if text.starts_with('/') { "/" } else { "." };
        let mut names = text.split('/').peekable();
        let mut fixed = vec![absolute];
        while let Some(name) = names.next_if(|name| !name.contains(['*', '?', '[', '{'])) {
            fixed.push(name);
        }
        let start = match fixed.get(1) {
            Some(first) if first.starts_with('~') => fixed[1..].join("/"),
            _ => fixed.join("/"),
        };
        let base = resolve(&start, folder, true)?;
        let parts = names
            .filter(|name| !name.is_empty() && *name != ".")
            .map(PatternPart::parse);
        Ok(Self {
            base,
            parts: parts.collect::<Result<_, _>>()?,
        })
    }
}

struct Search<'a> {
    files: &'a Files,
    work: &'a Work,
}

impl Search<'_> {
    fn walk(&self, folder: &Path, parts: &[PatternPart], found: &mut Vec<PathBuf>) -> Result<()> {
        self.work.check()?;
        let Some((part, rest)) = parts.split_first() else {
            if self
                .files
                .find(folder, false)
                .is_ok_and(|found| found.is_some())
            {
                found.push(folder.to_owned());
            }
            return Ok(());
        };
        if found.len() > MOST {
            return Err(
                Error::new("fs.too_many", format!("more than {MOST} paths match"))
                    .hint("narrow the pattern down"),
            );
        }
        match part {
            PatternPart::AnyDepth => {
                if !rest.is_empty() {
                    self.walk(folder, rest, found)?;
                }
                for entry in self.files.entries(folder).unwrap_or_default() {
                    if is_hidden(&entry.path) {
                        continue;
                    }
                    if rest.is_empty() {
                        found.push(entry.path.clone());
                    }
                    if entry.metadata.is_dir() {
                        self.walk(&entry.path, parts, found)?;
                    }
                }
            }
            PatternPart::Name { text, regex } => {
                for entry in self.files.entries(folder).unwrap_or_default() {
                    let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
                    let shown = !name.starts_with('.') || text.starts_with('.');
                    if !shown || !regex.is_match(&name) {
                        continue;
                    }
                    if rest.is_empty() {
                        found.push(entry.path.clone());
                    } else if entry.metadata.is_dir() {
                        self.walk(&entry.path, rest, found)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
