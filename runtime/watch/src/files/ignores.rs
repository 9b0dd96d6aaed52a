//! Which files `.gitignore` names, as git reads it: the nearest file that says something decides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The ignore files from a folder downwards, read when first needed.
#[derive(Debug)]
pub struct Ignores {
    root: PathBuf,
    read: HashMap<PathBuf, Option<Gitignore>>,
}

impl Ignores {
    /// Those at and below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            read: HashMap::new(),
        }
    }

    /// Read everything again when next needed.
    pub fn forget(&mut self) {
        self.read.clear();
    }

    /// Whether a file, or a folder above it, is ignored. git's own folder always is.
    pub fn ignores(&mut self, path: &Path, is_folder: bool) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else {
            return false;
        };
        let parts: Vec<PathBuf> = below
            .ancestors()
            .filter(|part| !part.as_os_str().is_empty())
            .map(|part| self.root.join(part))
            .collect();
        // From the top: what is in an ignored folder cannot be taken back in (gitignore(5)).
        parts.iter().rev().any(|part| {
            let is_folder = is_folder || part != path;
            part.file_name().is_some_and(|name| name == ".git") || self.decide(part, is_folder)
        })
    }

    fn decide(&mut self, path: &Path, is_folder: bool) -> bool {
        let root = self.root.clone();
        let mut folder = path.parent();
        while let Some(at) = folder.filter(|at| at.starts_with(&root)) {
            if let Some(rules) = self.rules(at) {
                match rules.matched(path, is_folder) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            folder = at.parent();
        }
        false
    }

    fn rules(&mut self, folder: &Path) -> Option<&Gitignore> {
        if !self.read.contains_key(folder) {
            let file = folder.join(".gitignore");
            let rules = file.is_file().then(|| {
                let mut builder = GitignoreBuilder::new(folder);
                // A line that cannot be read is left out, as git does.
                drop(builder.add(file));
                builder.build().unwrap_or_else(|_| Gitignore::empty())
            });
            self.read.insert(folder.to_owned(), rules);
        }
        self.read.get(folder).and_then(Option::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_decides() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("sub/target")).unwrap();
        std::fs::write(root.join(".gitignore"), "*.log\ntarget/\n").unwrap();
        std::fs::write(root.join("sub/.gitignore"), "!keep.log\n").unwrap();
        let mut ignores = Ignores::new(root);
        for (path, expected) in [
            ("a.log", true),
            ("a.txt", false),
            ("sub/a.log", true),
            ("sub/keep.log", false),
            ("sub/target/a.txt", true),
            (".git/index", true),
        ] {
            assert_eq!(ignores.ignores(&root.join(path), false), expected, "{path}");
        }
        assert!(!ignores.ignores(Path::new("/elsewhere/a.log"), false));
    }
}
