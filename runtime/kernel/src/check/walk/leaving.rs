//! Statements after which nothing of their block runs.

use rhai::{ASTFlags, Expr, FnCallExpr, Stmt};

/// The word with which a statement leaves its block in any case, if it does.
pub(super) fn leaves(statement: &Stmt) -> Option<&'static str> {
    let all = |statements: &[Stmt]| statements.iter().find_map(leaves);
    match statement {
        Stmt::Return(_, flags, _) if flags.contains(ASTFlags::BREAK) => Some("throw"),
        Stmt::Return(..) => Some("return"),
        Stmt::BreakLoop(_, flags, _) if flags.contains(ASTFlags::BREAK) => Some("break"),
        Stmt::BreakLoop(..) => Some("continue"),
        Stmt::FnCall(call, _) => exits(call),
        Stmt::Expr(expr) => match &**expr {
            Expr::FnCall(call, _) => exits(call),
            _ => None,
        },
        Stmt::Block(block) => all(block.statements()),
        Stmt::If(flow, _) => {
            all(flow.branch.statements()).and_then(|_| all(flow.body.statements()))
        }
        _ => None,
    }
}

pub(super) fn exits(call: &FnCallExpr) -> Option<&'static str> {
    (call.name == "exit" && !call.is_qualified()).then_some("exit")
}

/// Statements of which it does not matter whether they are reached.
pub(super) fn is_silent(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Noop(_) | Stmt::Share(_))
}
