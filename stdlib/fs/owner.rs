//! Modes and owners.

use std::os::unix::fs::MetadataExt;

use ccrun_kernel::{Cx, Preview, Result, primitive};

use super::accounts::Accounts;
use crate::files::{FilePath, Files, Mode, blocking, preview};

/// Set the mode of a file or directory, such as `"0640"`.
///
/// If it has that mode already, nothing is changed.
///
/// # Errors
/// `fs.not_found`, `fs.permission_denied`: only the owner and root may, `argument.type` for what is no
/// mode.
///
/// # Example
/// ```rhai
/// fs::write("deploy.sh", "#!/bin/sh\n");
/// fs::chmod("deploy.sh", "0755");
/// assert(fs::metadata("deploy.sh").mode == "0755");
/// ```
#[primitive(change, needs = fs(path), preview = chmod_preview)]
async fn chmod(cx: &Cx, path: FilePath, mode: Mode) -> Result<()> {
    let files = cx.client::<Files>().await?;
    let changed = blocking(cx, move |_| {
        if Mode::from_bits(files.metadata(&path, true)?.mode()) == mode {
            return Ok(false);
        }
        files.chmod(&path, mode).map(|()| true)
    })
    .await?;
    if !changed {
        cx.unchanged();
    }
    Ok(())
}

async fn chmod_preview(cx: &Cx, path: &FilePath, mode: &Mode) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (path, mode) = (path.clone(), *mode);
    let summary = format!("set the mode of {path} to {mode}");
    preview(cx, summary, move |_| {
        let old = Mode::from_bits(files.metadata(&path, true)?.mode());
        if old == mode {
            return Ok(Preview::new(format!("{path} has the mode {mode} already")).unchanged());
        }
        Ok(
            Preview::new(format!("set the mode of {path} from {old} to {mode}"))
                .undo(format!("fs::chmod({:?}, \"{old}\")", path.to_string())),
        )
    })
    .await
}

/// Set the owner of a file or directory: `"user"`, `"user:group"`, `":group"`, by name or number.
///
/// If it belongs to them already, nothing is changed. Names are those of `/etc/passwd` and
/// `/etc/group`; accounts of a directory service go by their number.
///
/// # Errors
/// `fs.not_found`, `fs.unknown_user` and `fs.unknown_group` with the nearest name,
/// `fs.permission_denied`: only root gives files away.
///
/// # Example
/// ```rhai
/// fs::write("a.txt", "a");
/// let m = fs::metadata("a.txt");
/// fs::chown("a.txt", `${m.uid}:${m.gid}`);
/// ```
#[primitive(change, needs = fs(path), preview = chown_preview)]
async fn chown(cx: &Cx, path: FilePath, owner: String) -> Result<()> {
    let files = cx.client::<Files>().await?;
    let changed = blocking(cx, move |_| {
        let wanted = Wanted::read(&files, &owner)?;
        if wanted.is(&files.metadata(&path, true)?) {
            return Ok(false);
        }
        files.chown(&path, wanted.user, wanted.group).map(|()| true)
    })
    .await?;
    if !changed {
        cx.unchanged();
    }
    Ok(())
}

async fn chown_preview(cx: &Cx, path: &FilePath, owner: &str) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (path, owner) = (path.clone(), owner.to_owned());
    let summary = format!("give {path} to {owner}");
    preview(cx, summary, move |_| {
        let wanted = Wanted::read(&files, &owner)?;
        let found = files.metadata(&path, true)?;
        let old = format!(
            "{}:{}",
            Accounts::users(&files).name(found.uid()),
            Accounts::groups(&files).name(found.gid())
        );
        if wanted.is(&found) {
            return Ok(Preview::new(format!("{path} belongs to {old} already")).unchanged());
        }
        Ok(Preview::new(format!("give {path} from {old} to {owner}"))
            .undo(format!("fs::chown({:?}, \"{old}\")", path.to_string())))
    })
    .await
}

/// The numbers of an owner that a script names.
struct Wanted {
    user: Option<u32>,
    group: Option<u32>,
}

impl Wanted {
    fn read(files: &Files, owner: &str) -> Result<Self> {
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let user = (!user.is_empty())
            .then(|| Accounts::users(files).id(user))
            .transpose()?;
        let group = (!group.is_empty())
            .then(|| Accounts::groups(files).id(group))
            .transpose()?;
        Ok(Self { user, group })
    }

    fn is(&self, found: &impl MetadataExt) -> bool {
        self.user.is_none_or(|user| user == found.uid())
            && self.group.is_none_or(|group| group == found.gid())
    }
}
