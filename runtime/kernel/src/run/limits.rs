//! How far a script may go before it is stopped.

use rhai::Engine;

use crate::runbook::MAX_NESTING;

/// The limits of a run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Operations (expressions, statements, loop turns) of one closure or of the top level.
    pub operations: u64,
    /// Calls inside calls.
    pub call_depth: usize,
    /// Bytes of one string.
    pub string: usize,
    /// Elements of one array, nested ones included.
    pub array: usize,
    /// Entries of one map, nested ones included.
    pub map: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 20_000_000,
            call_depth: 64,
            string: 32 << 20,
            array: 4_000_000,
            map: 1_000_000,
        }
    }
}

/// The stack of a thread that runs scripts. Reserved, not used: a page counts when it is touched.
pub const STACK_SIZE: usize = 64 << 20;

impl Limits {
    pub(crate) fn apply(&self, engine: &mut Engine) {
        engine
            .set_max_operations(self.operations)
            .set_max_call_levels(self.call_depth)
            .set_max_expr_depths(MAX_NESTING, MAX_NESTING)
            .set_max_string_size(self.string)
            .set_max_array_size(self.array)
            .set_max_map_size(self.map)
            .set_max_variables(10_000)
            .set_max_functions(10_000)
            .set_max_modules(1_000);
    }
}
