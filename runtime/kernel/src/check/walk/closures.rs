//! What Rhai makes of a closure.

use rhai::{Expr, FnCallExpr, Stmt};

/// Whether the block is what Rhai makes of a closure that captures variables: the variables are
/// shared, and then bound to the function.
pub(super) fn is_closure(expr: &Expr) -> bool {
    closure_parts(expr).is_some()
}

/// The internal name of a closure, and how many variables it captures.
pub(super) fn closure_parts(expr: &Expr) -> Option<(String, usize)> {
    match expr {
        Expr::DynamicConstant(value, _) => {
            let pointer = value.read_lock::<rhai::FnPtr>()?;
            Some((pointer.fn_name().to_owned(), 0))
        }
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(_), Stmt::Expr(bound)] => match &**bound {
                Expr::FnCall(call, _) => bound_parts(call),
                _ => None,
            },
            [Stmt::Share(_), Stmt::FnCall(call, _)] => bound_parts(call),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn bound_parts(call: &FnCallExpr) -> Option<(String, usize)> {
    match &call.args[..] {
        [function @ Expr::DynamicConstant(..), captured @ ..] => {
            closure_parts(function).map(|(name, _)| (name, captured.len()))
        }
        _ => None,
    }
}
