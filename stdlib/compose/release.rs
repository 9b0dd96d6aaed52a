//! What ran once: enough of it to make it run again.
//!
//! A release is a folder, `releases/PROJECT/ID` in ccrun's state folder, readable by its owner only, for
//! it holds what the containers' environments hold. It is complete when its `release.json` is there, which is
//! written last.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client of the releases on the disk"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bollard::models::ContainerInspectResponse;
use ccrun_kernel::{Access, Client, Error, Result};
use serde::{Deserialize, Serialize};

/// A file that is mounted into a container is kept up to this size.
const LARGEST_FILE: u64 = 1 << 20;

/// All of them together.
const LARGEST_ALL: u64 = 64 << 20;

/// So many releases of a project are kept.
const KEPT: usize = 20;

/// The releases on this disk.
pub struct Releases {
    folder: PathBuf,
    read_only: bool,
}

/// What ran, as it is written down.
#[derive(Serialize, Deserialize, Clone)]
pub struct Release {
    /// Its name: when it was taken, so that names sort.
    pub id: String,
    /// The project.
    pub project: String,
    /// Seconds since 1970.
    pub taken: i64,
    /// What people say about it: a version, a commit.
    #[serde(default)]
    pub note: Option<String>,
    /// Whether it was found good: healthy, and smoke tests passed.
    #[serde(default)]
    pub good: bool,
    /// The containers, all that the engine said of them.
    pub containers: Vec<ContainerInspectResponse>,
    /// The files that were mounted into them.
    pub files: Vec<KeptFile>,
    /// Files too large to be kept, so that going back would not bring them back.
    #[serde(default)]
    pub left_out: Vec<PathBuf>,
}

/// A file, and where its content is kept.
#[derive(Serialize, Deserialize, Clone)]
pub struct KeptFile {
    /// Where it belongs.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// The name of its copy in the release's folder.
    pub copy: String,
}

impl Client for Releases {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            folder: access.state().join("releases"),
            read_only: access.read_only(),
        })
    }
}

impl Releases {
    /// The releases of a project, the newest first.
    ///
    /// # Errors
    /// `compose.release` if one can't be read.
    pub fn list(&self, project: &str) -> Result<Vec<Release>> {
        let Ok(entries) = fs::read_dir(self.folder.join(project)) else {
            return Ok(Vec::new());
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("release.json").exists())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        ids.sort();
        ids.iter().rev().map(|id| self.get(project, id)).collect()
    }

    /// One release.
    ///
    /// # Errors
    /// `compose.release`
    pub fn get(&self, project: &str, id: &str) -> Result<Release> {
        let file = self.folder.join(project).join(id).join("release.json");
        let wrong = |what: &dyn std::fmt::Display| {
            Error::new(
                "compose.release",
                format!("the release {id} of {project} can't be read: {what}"),
            )
            .hint("`compose::project().releases()` lists those that there are")
        };
        // An id is a name in one folder, not a way out of it.
        if id.contains(['/', '\\']) || id.starts_with('.') {
            return Err(wrong(&"that is not the name of a release"));
        }
        let text = fs::read(&file).map_err(|error| wrong(&error))?;
        serde_json::from_slice(&text).map_err(|error| wrong(&error))
    }

    /// Write a release down with the content of these files, and forget the oldest.
    ///
    /// # Errors
    /// `io.disk_full` and the like; `read_only`.
    pub fn put(&self, mut release: Release, files: &[PathBuf]) -> Result<Release> {
        self.may_write()?;
        let project = self.folder.join(&release.project);
        let place = project.join(&release.id);
        let unfinished = project.join(format!(".{}.tmp", release.id));
        let write = || -> std::io::Result<()> {
            let _ = fs::remove_dir_all(&unfinished);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&unfinished)?;
            let mut all = 0;
            for path in files {
                let metadata = fs::metadata(path)?;
                all += metadata.len();
                if metadata.len() > LARGEST_FILE || all > LARGEST_ALL {
                    release.left_out.push(path.clone());
                    continue;
                }
                let copy = format!("file-{}", release.files.len());
                write_new(&unfinished.join(&copy), &fs::read(path)?)?;
                release.files.push(KeptFile {
                    path: path.clone(),
                    mode: metadata.permissions().mode() & 0o7777,
                    copy,
                });
            }
            let text = serde_json::to_vec(&release)?;
            write_new(&unfinished.join("release.json"), &text)?;
            fs::rename(&unfinished, &place)?;
            fs::File::open(&project)?.sync_all()
        };
        if let Err(error) = { write }() {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error.into());
        }
        self.forget_oldest(&release.project);
        Ok(release)
    }

    /// Say that a release is good.
    ///
    /// # Errors
    /// `compose.release`, `read_only`.
    pub fn mark_good(&self, project: &str, id: &str, note: Option<String>) -> Result<()> {
        self.may_write()?;
        let mut release = self.get(project, id)?;
        release.good = true;
        release.note = note.or(release.note);
        let place = self.folder.join(project).join(id);
        let text = serde_json::to_vec(&release)
            .map_err(|error| Error::new("compose.release", error.to_string()))?;
        let temporary = place.join(".release.json.tmp");
        let _ = fs::remove_file(&temporary);
        write_new(&temporary, &text)?;
        fs::rename(&temporary, place.join("release.json"))?;
        Ok(())
    }

    /// The content of a kept file.
    ///
    /// # Errors
    /// `compose.release`
    pub fn content(&self, release: &Release, file: &KeptFile) -> Result<Vec<u8>> {
        let path = self
            .folder
            .join(&release.project)
            .join(&release.id)
            .join(&file.copy);
        fs::read(&path).map_err(|error| {
            Error::new(
                "compose.release",
                format!(
                    "the release {} has lost its copy of {}: {error}",
                    release.id,
                    file.path.display()
                ),
            )
        })
    }

    fn may_write(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::new(
                "read_only",
                "no release is recorded where nothing may change",
            )),
            false => Ok(()),
        }
    }

    /// The oldest go, but never the last good one.
    fn forget_oldest(&self, project: &str) {
        let Ok(releases) = self.list(project) else {
            return;
        };
        let last_good = releases
            .iter()
            .find(|release| release.good)
            .map(|release| release.id.clone());
        for release in releases.iter().skip(KEPT) {
            if Some(&release.id) != last_good.as_ref() {
                let _ = fs::remove_dir_all(self.folder.join(project).join(&release.id));
            }
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The regular files behind a mount: itself, or those in the folder.
pub fn files_of_mount(source: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(source, 0, &mut found);
    found.sort();
    found
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    /// More is data, not configuration.
    const MOST: usize = 1000;
    const DEEPEST: usize = 8;
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    if metadata.is_file() {
        found.push(path.to_owned());
    } else if metadata.is_dir() && depth < DEEPEST && found.len() < MOST {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(folder: &Path) -> Releases {
        Releases {
            folder: folder.to_owned(),
            read_only: false,
        }
    }

    fn release(id: &str) -> Release {
        Release {
            id: id.to_owned(),
            project: "shop".to_owned(),
            taken: 0,
            note: None,
            good: false,
            containers: Vec::new(),
            files: Vec::new(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn files_come_back_as_they_were_and_nobody_else_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("Caddyfile"), folder.path().join("data"));
        fs::write(&small, "example.org\n").unwrap();
        fs::write(&large, vec![0; (LARGEST_FILE + 1) as usize]).unwrap();
        let store = releases(&folder.path().join("state"));
        let files = files_of_mount(folder.path());
        let files: Vec<PathBuf> = files.into_iter().filter(|path| path.is_file()).collect();
        store.put(release("2026-01-01"), &files).unwrap();
        fs::write(&small, "broken\n").unwrap();
        let [kept] = <[Release; 1]>::try_from(store.list("shop").unwrap())
            .ok()
            .unwrap();
        assert_eq!(kept.left_out, [large]);
        assert_eq!(
            store.content(&kept, &kept.files[0]).unwrap(),
            b"example.org\n"
        );
        let place = folder.path().join("state/shop/2026-01-01");
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let json = place.join("release.json");
        assert_eq!(
            fs::metadata(json).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn the_oldest_go_but_the_last_good_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = releases(folder.path());
        for number in 0..KEPT + 5 {
            let id = format!("{number:04}");
            store.put(release(&id), &[]).unwrap();
            if number == 0 {
                store.mark_good("shop", &id, Some("v1".to_owned())).unwrap();
            }
        }
        let ids: Vec<String> = store
            .list("shop")
            .unwrap()
            .into_iter()
            .map(|r| r.id)
            .collect();
        assert_eq!(ids.len(), KEPT + 1);
        assert_eq!(ids.last().map(String::as_str), Some("0000"));
        assert_eq!(
            store.get("shop", "../0001").err().unwrap().kind(),
            "compose.release"
        );
    }
}
