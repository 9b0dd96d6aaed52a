//! Files and directories.
//!
//! Relative paths start from the run's working folder, `~/` is the home folder. A path is followed to
//! where it really leads (symbolic links and `..` included) before the permission is asked for:
//! `needs: #{ fs: #{ read: ["config/**"], change: ["/srv/app/.env"] } }`.

mod accounts;
mod create;
mod diff;
mod glob;
mod list;
mod owner;
mod place;
mod read;
mod remove;
mod temporary;
#[cfg(test)]
mod tests;
mod write;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "fs",
        "Files and directories: read, write atomically, list, copy, remove.",
    )
    .primitives(primitives![
        read::read,
        read::read_bytes,
        read::each_line,
        read::sha256,
        write::write,
        write::append,
        place::copy,
        place::rename,
        remove::remove,
        remove::remove_all,
        create::create_dir,
        create::symlink,
        create::read_link,
        list::list,
        list::metadata,
        list::exists,
        list::is_file,
        list::is_dir,
        glob::glob,
        owner::chmod,
        owner::chown,
        temporary::temp_file,
        temporary::temp_dir,
    ])
}
