//! The files of one trigger: which they are, and how they changed since it last fired.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ccrun_kernel::runbook::trigger::{FileChange, Files};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::ignores::Ignores;

/// What tells two states of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: i64,
    size: u64,
    inode: u64,
}

impl Stamp {
    /// The file's state now; `None` if there is no such file.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        found.is_file().then(|| Self {
            modified: found
                .mtime()
                .wrapping_mul(1_000_000_000)
                .wrapping_add(found.mtime_nsec()),
            size: found.size(),
            inode: found.ino(),
        })
    }

    /// As it is kept in the ledger.
    #[must_use]
    pub fn text(self) -> String {
        format!("{} {} {}", self.modified, self.size, self.inode)
    }

    /// As it was kept in the ledger.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let stamp = Self {
            modified: parts.next()?.parse().ok()?,
            size: parts.next()?.parse().ok()?,
            inode: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(stamp)
    }
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file, relative to the root.
    pub path: String,
    /// How it changed.
    pub change: FileChange,
    /// What it is like now, unless it is gone.
    pub stamp: Option<Stamp>,
}

/// The files that a trigger's patterns mean.
#[derive(Debug, Default)]
pub struct FileSet {
    root: PathBuf,
    wanted: GlobSet,
    unwanted: GlobSet,
    /// The folders below which files can match, that exist or not.
    bases: Vec<PathBuf>,
    ignores: Option<Ignores>,
    /// What the files were like at the last firing, by their path relative to the root.
    known: BTreeMap<String, Stamp>,
}

/// What a walk over the files of a trigger found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files that match.
    pub files: BTreeMap<String, Stamp>,
    /// The folders that may hold such files, to be watched.
    pub folders: Vec<PathBuf>,
    /// Files that are links, with what they lead to.
    pub links: Vec<(PathBuf, PathBuf)>,
}

fn glob(pattern: &str) -> Option<globset::Glob> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .ok()
}

/// The folder in front of the first wildcard.
fn base(root: &Path, pattern: &str) -> PathBuf {
    let plain: Vec<&str> = pattern
        .split('/')
        .take_while(|part| !part.contains(['*', '?', '[', '{']))
        .collect();
    let whole = plain.len() == pattern.split('/').count();
    let plain = if whole {
        &plain[..plain.len() - 1]
    } else {
        &plain[..]
    };
    plain
        .iter()
        .fold(root.to_owned(), |path, part| match *part {
            "" if path == root && pattern.starts_with('/') => PathBuf::from("/"),
            "" | "." => path,
            part => path.join(part),
        })
}

impl FileSet {
    /// The files that `files` means, relative to `root`.
    #[must_use]
    pub fn new(root: &Path, files: &Files) -> Self {
        let mut wanted = GlobSetBuilder::new();
        let mut unwanted = GlobSetBuilder::new();
        let mut bases = Vec::new();
        for pattern in &files.patterns {
            let plain = pattern.trim_start_matches('!').trim_start_matches("./");
            // Names are relative to the root where they are below it.
            let below = root.to_str().and_then(|root| plain.strip_prefix(root));
            let plain = below.map_or(plain, |below| below.trim_start_matches('/'));
            let Some(glob) = glob(plain) else { continue };
            if pattern.starts_with('!') {
                unwanted.add(glob);
                // A folder that is left out is left out with all that is in it.
                if let Some(inside) = self::glob(&format!("{}/**", plain.trim_end_matches("/**"))) {
                    unwanted.add(inside);
                }
            } else {
                wanted.add(glob);
                bases.push(base(root, plain));
            }
        }
        bases.sort();
        bases.dedup();
        Self {
            root: root.to_owned(),
            wanted: wanted.build().unwrap_or_else(|_| GlobSet::empty()),
            unwanted: unwanted.build().unwrap_or_else(|_| GlobSet::empty()),
            bases,
            ignores: files.gitignore.then(|| Ignores::new(root)),
            known: BTreeMap::new(),
        }
    }

    /// The folders below which files can match.
    #[must_use]
    pub fn bases(&self) -> &[PathBuf] {
        &self.bases
    }

    /// What the files were like at the last firing.
    #[must_use]
    pub fn known(&self) -> &BTreeMap<String, Stamp> {
        &self.known
    }

    /// Say what the files were like at the last firing.
    pub fn remember(&mut self, known: BTreeMap<String, Stamp>) {
        self.known = known;
    }

    /// Whether any file below this folder can be meant.
    pub fn enters(&mut self, folder: &Path) -> bool {
        let related = |base: &PathBuf| folder.starts_with(base) || base.starts_with(folder);
        self.bases.iter().any(related)
            && !self.unwanted.is_match(self.name(folder))
            && !self
                .ignores
                .as_mut()
                .is_some_and(|ignores| ignores.ignores(folder, true))
    }

    /// Whether a file is meant.
    pub fn means(&mut self, path: &Path) -> bool {
        let name = self.name(path);
        self.wanted.is_match(&name)
            && !self.unwanted.is_match(&name)
            && !self
                .ignores
                .as_mut()
                .is_some_and(|ignores| ignores.ignores(path, false))
    }

    /// The ignore files changed.
    pub fn forget_ignores(&mut self) {
        if let Some(ignores) = &mut self.ignores {
            ignores.forget();
        }
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    /// Walk over all that can be meant, or all of it that is below `from`.
    pub fn walk(&mut self, from: Option<&Path>) -> Found {
        let mut found = Found::default();
        let mut entered = HashSet::new();
        let starts: Vec<PathBuf> = match from {
            Some(from) => vec![from.to_owned()],
            None => self.bases.clone(),
        };
        for start in starts {
            if let Some(folder) = existing(&start, &self.root) {
                // What does not exist yet is waited for in the folder above it.
                if folder != start {
                    found.folders.push(folder);
                } else if self.enters(&folder) {
                    self.walk_into(&folder, &mut found, &mut entered);
                }
            }
        }
        found.folders.sort();
        found.folders.dedup();
        found
    }

    fn walk_into(&mut self, folder: &Path, found: &mut Found, entered: &mut HashSet<(u64, u64)>) {
        let Ok(metadata) = std::fs::metadata(folder) else {
            return;
        };
        // Links can lead in a circle.
        if !entered.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        found.folders.push(folder.to_owned());
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let is_folder = kind.is_dir() || kind.is_symlink() && path.is_dir();
            if is_folder {
                if self.enters(&path) {
                    self.walk_into(&path, found, entered);
                }
            } else if self.means(&path) {
                if kind.is_symlink()
                    && let Ok(leads_to) = path.canonicalize()
                {
                    found.links.push((path.clone(), leads_to));
                }
                if let Some(stamp) = Stamp::of(&path)
                    && let Some(name) = self.name(&path).to_str()
                {
                    found.files.insert(name.to_owned(), stamp);
                }
            }
        }
    }

    /// How a file that may have changed did, if it did.
    pub fn compare(&mut self, path: &Path) -> Option<Change> {
        let name = self.name(path).to_str()?.to_owned();
        let before = self.known.get(&name).copied();
        let after = if self.means(path) {
            Stamp::of(path)
        } else {
            None
        };
        change(name, before, after)
    }

    /// All changes that a walk shows.
    #[must_use]
    pub fn compare_all(&self, found: &BTreeMap<String, Stamp>) -> Vec<Change> {
        let names: std::collections::BTreeSet<&String> =
            self.known.keys().chain(found.keys()).collect();
        names
            .into_iter()
            .filter_map(|name| {
                let (before, after) = (self.known.get(name), found.get(name));
                change(name.clone(), before.copied(), after.copied())
            })
            .collect()
    }

    /// The known files below a folder, or the one of that name.
    #[must_use]
    pub fn known_below(&self, path: &Path) -> Vec<PathBuf> {
        let name = self.name(path);
        let below = |known: &&String| Path::new(known.as_str()).starts_with(&name);
        self.known
            .keys()
            .filter(below)
            .map(|known| self.root.join(known))
            .collect()
    }

    /// Take a change as seen.
    pub fn apply(&mut self, change: &Change) {
        match change.stamp {
            Some(stamp) => drop(self.known.insert(change.path.clone(), stamp)),
            None => drop(self.known.remove(&change.path)),
        }
    }
}

fn change(path: String, before: Option<Stamp>, after: Option<Stamp>) -> Option<Change> {
    let change = match (before, after) {
        (None, Some(_)) => FileChange::Create,
        (Some(_), None) => FileChange::Delete,
        (Some(before), Some(after)) if before != after => FileChange::Modify,
        _ => return None,
    };
    Some(Change {
        path,
        change,
        stamp: after,
    })
}

/// The nearest folder at or above `path` that exists, down from `root` if it is below that.
fn existing(path: &Path, root: &Path) -> Option<PathBuf> {
    let mut at = Some(path);
    while let Some(folder) = at {
        if folder.is_dir() {
            return Some(folder.to_owned());
        }
        if folder == root {
            return None;
        }
        at = folder.parent();
    }
    None
}

#[cfg(test)]
mod tests {
    use ccrun_kernel::runbook::{TriggerSource, parse};

    use super::*;

    fn files(text: &str) -> Files {
        let source = format!("runbook(#{{ on: #{{ {text} }} }});");
        let header = parse("t.rhai", source).unwrap().header.unwrap();
        match &header.on[0].source {
            TriggerSource::Files(files) => files.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn write(root: &Path, name: &str, text: &str) {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), text).unwrap();
    }

    #[test]
    fn the_patterns_say_what_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "a.sql",
            "sub/b.sql",
            "sub/deep/c.sql",
            "out/d.sql",
            "sub/e.txt",
            "old.sql",
        ] {
            write(root, name, "x");
        }
        write(root, ".gitignore", "old.sql\n");
        let names = |text: &str| -> Vec<String> {
            FileSet::new(root, &files(text))
                .walk(None)
                .files
                .into_keys()
                .collect()
        };
        assert_eq!(names(r#"files: "*.sql""#), ["a.sql"]);
        assert_eq!(
            names(r#"files: "*.sql", gitignore: false"#),
            ["a.sql", "old.sql"]
        );
        assert_eq!(names(r#"files: "sub/*.sql""#), ["sub/b.sql"]);
        assert_eq!(
            names(r#"files: ["**/*.sql", "!out"]"#),
            ["a.sql", "sub/b.sql", "sub/deep/c.sql"]
        );
        assert_eq!(names(r#"files: "./sub/e.txt""#), ["sub/e.txt"]);
        assert_eq!(names(r#"files: "none/*.sql""#), [""; 0]);
        let mut set = FileSet::new(root, &files(r#"files: "none/deep/*.sql""#));
        assert_eq!(set.walk(None).folders, [root.to_owned()]);
    }

    #[test]
    fn changes_are_told_by_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "a", "1");
        write(root, "b", "1");
        let mut set = FileSet::new(root, &files(r#"files: "*""#));
        let found = set.walk(None).files;
        assert_eq!(set.compare_all(&found).len(), 2);
        set.remember(found);
        // As editors save: a new file takes the name of the old one.
        write(root, "a~", "2");
        std::fs::rename(root.join("a~"), root.join("a")).unwrap();
        std::fs::remove_file(root.join("b")).unwrap();
        write(root, "c", "1");
        let found = set.walk(None).files;
        let changes: Vec<(String, FileChange)> = set
            .compare_all(&found)
            .into_iter()
            .map(|change| (change.path, change.change))
            .collect();
        assert_eq!(
            changes,
            [
                ("a".to_owned(), FileChange::Modify),
                ("b".to_owned(), FileChange::Delete),
                ("c".to_owned(), FileChange::Create)
            ]
        );
        assert!(set.compare(&root.join("a~")).is_none());
        let change = set.compare(&root.join("a")).unwrap();
        set.apply(&change);
        assert!(set.compare(&root.join("a")).is_none());
    }

    #[test]
    fn links_that_lead_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "sub/a", "1");
        std::os::unix::fs::symlink(root, root.join("sub/up")).unwrap();
        std::os::unix::fs::symlink(root.join("sub/a"), root.join("link")).unwrap();
        let mut set = FileSet::new(root, &files(r#"files: "**""#));
        let found = set.walk(None);
        assert_eq!(found.files.keys().collect::<Vec<_>>(), ["link", "sub/a"]);
        assert_eq!(found.links.len(), 1);
    }

    #[test]
    fn a_stamp_is_kept_as_text() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a", "1");
        let stamp = Stamp::of(&folder.path().join("a")).unwrap();
        assert_eq!(Stamp::parse(&stamp.text()), Some(stamp));
        assert_eq!(Stamp::parse("1 2"), None);
    }
}
