//! The way back from a primitive into the script that called it.

use rhai::{Dynamic, FnPtr, NativeCallContext, Position};

use crate::error::{Error, Location, Result};

/// The script that called a primitive. Lets the primitive call the closures it was given.
pub struct Caller<'a> {
    context: &'a NativeCallContext<'a>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(context: &'a NativeCallContext<'a>) -> Self {
        Self { context }
    }

    /// Call a closure of the script.
    ///
    /// # Errors
    /// Whatever the closure throws; an exception passes through unchanged.
    pub fn invoke(
        &self,
        closure: &FnPtr,
        arguments: impl IntoIterator<Item = Dynamic>,
    ) -> Result<Dynamic> {
        let arguments: Vec<Dynamic> = arguments.into_iter().collect();
        closure
            .call_raw(self.context, None, arguments)
            .map(Dynamic::flatten)
            .map_err(|error| Error::from_script(&error, self.source()))
    }

    /// The file of the call.
    #[must_use]
    pub fn source(&self) -> &str {
        self.context.call_source().unwrap_or_default()
    }

    /// The place of the call.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        Location::of(self.source(), self.position())
    }

    /// The position of the call in its file.
    #[must_use]
    pub fn position(&self) -> Position {
        self.context.call_position()
    }

    /// Rhai's own context.
    #[must_use]
    pub fn context(&self) -> &'a NativeCallContext<'a> {
        self.context
    }
}
