//! Compressed files and tar archives.
//!
//! Everything is streamed, so the files may be of any size; what is written takes its place when it is
//! complete. What is read is not trusted: decompression stops at `max_size`, and an archive is refused
//! as a whole if an entry would leave the folder.

mod compress;
mod compression;
mod entries;
mod in_memory;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "archive",
        "Compressed files and tar archives: gzip, zstd, tar.",
    )
    .primitives(primitives![
        compress::gzip,
        compress::gunzip,
        compress::zstd_compress,
        compress::zstd_decompress,
        pack::tar,
        unpack::untar,
        unpack::list,
        in_memory::compress,
        in_memory::decompress,
    ])
}
