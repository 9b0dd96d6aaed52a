//! What is behind an error: libraries wrap the cause that says what to do in layers that do not.

use std::error::Error;
use std::io;
use std::sync::Arc;

/// The first cause of a type, the error itself included.
#[must_use]
pub fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    // A shared error names as its source that of the one it shares, which so is passed over.
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return cause(&**shared);
    }
    // An I/O error carries another one without naming it as its source: it names that one's source.
    let carried = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .map(|inner| inner as &(dyn Error + 'static));
    cause(carried.or_else(|| error.source())?)
}

/// The innermost cause: the layers above it only say that there was one.
#[must_use]
pub fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_inside_of_io_errors_is_found() {
        let inner = "x".parse::<u8>().unwrap_err();
        let wrapped = io::Error::other(io::Error::other(inner.clone()));
        assert_eq!(cause::<std::num::ParseIntError>(&wrapped), Some(&inner));
        assert!(cause::<std::fmt::Error>(&wrapped).is_none());
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(inner.clone());
        assert_eq!(cause::<std::num::ParseIntError>(&shared), Some(&inner));
        assert_eq!(deepest(&wrapped), inner.to_string());
    }
}
