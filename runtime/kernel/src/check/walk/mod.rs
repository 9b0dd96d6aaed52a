//! The walk over a script that gathers the facts.
//!
//! `AST::walk` would visit the same nodes, but without scopes: here closures are visited where they
//! stand, with the variables that are in sight there.

mod closures;
mod expressions;
mod leaving;
mod names;

use rhai::{ASTFlags, Expr, FlowControl, Ident, Position, Stmt};

use super::facts::{
    ClosureUse, Facts, Frame, FrameId, FrameKind, Import, Mutation, MutationKind, Unreachable,
    VariableId, VariableKind,
};
use super::program::Program;
use leaving::{is_silent, leaves};

/// The variables that every script sees.
pub const HOST_VARIABLES: [&str; 3] = ["params", "target", "trigger"];

/// Gather the facts of a program.
pub fn gather(program: &Program) -> Facts<'_> {
    let mut walk = Walk {
        program,
        facts: Facts::default(),
        scopes: vec![Scope::default()],
        frame: 0,
        branches: 0,
        visiting: Vec::new(),
    };
    walk.facts.frames.push(Frame {
        parent: None,
        kind: FrameKind::File,
    });
    walk.statements(program.statements());
    let functions = program.functions().iter().enumerate();
    for (index, function) in functions.filter(|(_, function)| !function.is_closure()) {
        walk.inside(FrameKind::Function(index), |walk| {
            walk.scopes.push(Scope {
                function: true,
                ..Scope::default()
            });
            for param in &function.params {
                walk.declare(param, function.position, VariableKind::Parameter, None);
            }
            walk.statements(&function.body);
            walk.scopes.pop();
        });
    }
    walk.facts
}

#[derive(Default)]
struct Scope<'a> {
    variables: Vec<(&'a str, VariableId)>,
    imports: Vec<(&'a str, usize)>,
    /// The body of a named function: what is outside is out of sight.
    function: bool,
}

struct Walk<'a> {
    program: &'a Program,
    facts: Facts<'a>,
    scopes: Vec<Scope<'a>>,
    frame: FrameId,
    branches: usize,
    /// The closures that are being visited, lest one that holds itself is visited without end.
    visiting: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn inside(&mut self, kind: FrameKind, visit: impl FnOnce(&mut Self)) {
        let outer = self.frame;
        self.facts.frames.push(Frame {
            parent: Some(outer),
            kind,
        });
        self.frame = self.facts.frames.len() - 1;
        visit(self);
        self.frame = outer;
    }

    fn scoped(&mut self, visit: impl FnOnce(&mut Self)) {
        self.scopes.push(Scope::default());
        visit(self);
        self.scopes.pop();
    }

    fn arm(&mut self, of: usize, arm: usize, visit: impl FnOnce(&mut Self)) {
        self.inside(FrameKind::Branch { of, arm }, visit);
    }

    fn next_branch(&mut self) -> usize {
        self.branches += 1;
        self.branches
    }

    // Statements.

    fn block(&mut self, statements: &'a [Stmt]) {
        self.scoped(|walk| walk.statements(statements));
    }

    fn statements(&mut self, statements: &'a [Stmt]) {
        for (index, statement) in statements.iter().enumerate() {
            self.statement(statement, index + 1 == statements.len());
        }
        let leaving = statements
            .iter()
            .enumerate()
            .find_map(|(index, statement)| {
                leaves(statement).map(|word| (index, word, statement.position()))
            });
        if let Some((index, after, position)) = leaving
            && let Some(next) = statements[index + 1..].iter().find(|next| !is_silent(next))
        {
            let line = position.line().unwrap_or_default();
            self.facts.unreachable.push(Unreachable {
                position: next.position(),
                after,
                line,
            });
        }
    }

    fn statement(&mut self, statement: &'a Stmt, last: bool) {
        match statement {
            Stmt::If(flow, _) => {
                self.expr(&flow.expr, ClosureUse::Stored);
                let branch = self.next_branch();
                self.arm(branch, 0, |walk| walk.block(flow.body.statements()));
                self.arm(branch, 1, |walk| walk.block(flow.branch.statements()));
            }
            Stmt::Switch(switch, _) => {
                let (value, cases) = &**switch;
                self.expr(value, ClosureUse::Stored);
                let branch = self.next_branch();
                for (arm, case) in cases.expressions.iter().enumerate() {
                    self.expr(&case.lhs, ClosureUse::Stored);
                    self.arm(branch, arm, |walk| walk.expr(&case.rhs, ClosureUse::Stored));
                }
            }
            Stmt::While(flow, _) | Stmt::Do(flow, _, _) => {
                self.inside(FrameKind::Loop, |walk| {
                    walk.expr(&flow.expr, ClosureUse::Stored);
                    walk.block(flow.body.statements());
                });
            }
            Stmt::For(parts, _) => {
                let (element, counter, flow) = &**parts;
                self.for_loop(element, counter.as_ref(), flow);
            }
            Stmt::Var(parts, flags, _) => {
                let (name, init, _) = &**parts;
                self.expr(init, ClosureUse::Stored);
                let kind = match flags.contains(ASTFlags::CONSTANT) {
                    true => VariableKind::Const,
                    false => VariableKind::Let,
                };
                let variable = self.declare(&name.name, name.pos, kind, Some(init));
                self.facts.variables[variable].exported = flags.contains(ASTFlags::EXPORTED);
            }
            Stmt::Assignment(parts) => {
                self.assignment(&parts.1.lhs, &parts.1.rhs, parts.0.is_op_assignment());
            }
            Stmt::FnCall(call, position) => {
                self.call(call, *position, None);
            }
            Stmt::Block(block) => self.block(block.statements()),
            Stmt::TryCatch(flow, _) => {
                let branch = self.next_branch();
                self.arm(branch, 0, |walk| walk.block(flow.body.statements()));
                self.arm(branch, 1, |walk| {
                    walk.scoped(|walk| {
                        if let Expr::Variable(variable, _, position) = &flow.expr {
                            walk.declare(&variable.1, *position, VariableKind::Caught, None);
                        }
                        walk.statements(flow.branch.statements());
                    });
                });
            }
            Stmt::Expr(expr) => {
                let before = self.facts.properties.len();
                self.expr(expr, ClosureUse::Stored);
                if !last
                    && matches!(&**expr, Expr::Dot(..))
                    && let Some(property) = self.facts.properties[before..].last_mut()
                    && self.facts.chain_of.get(&std::ptr::from_ref(&**expr))
                        == Some(&property.receiver.0)
                {
                    let links = self.facts.chains[property.receiver.0].links.len();
                    property.idle = property.receiver.1 + 1 == links;
                }
            }
            Stmt::BreakLoop(value, ..) | Stmt::Return(value, ..) => {
                if let Some(value) = value {
                    self.expr(value, ClosureUse::Stored);
                }
            }
            Stmt::Import(parts, _) => self.import(&parts.0, &parts.1),
            Stmt::Export(parts, _) => {
                let (name, _) = &**parts;
                if let Some(variable) = self.read(&name.name, name.pos) {
                    self.facts.variables[variable].exported = true;
                }
            }
            _ => {}
        }
    }

    fn for_loop(&mut self, element: &'a Ident, counter: Option<&'a Ident>, flow: &'a FlowControl) {
        self.expr(&flow.expr, ClosureUse::Stored);
        self.inside(FrameKind::Loop, |walk| {
            walk.scoped(|walk| {
                let kind = VariableKind::Element;
                walk.declare(&element.name, element.pos, kind, Some(&flow.expr));
                if let Some(counter) = counter {
                    walk.declare(&counter.name, counter.pos, VariableKind::Parameter, None);
                }
                walk.statements(flow.body.statements());
            });
        });
    }

    fn import(&mut self, path: &'a Expr, alias: &'a Ident) {
        self.expr(path, ClosureUse::Stored);
        let import = self.facts.imports.len();
        let (path, position) = match path {
            Expr::StringConstant(path, position) => (Some(path.as_str()), *position),
            other => (None, other.start_position()),
        };
        let alias = Some(alias).filter(|alias| !alias.is_empty());
        let top = self.frame == 0 && self.scopes.len() == 1;
        self.facts.imports.push(Import {
            path,
            position,
            alias,
            used: false,
            top,
        });
        if let (Some(alias), Some(scope)) = (alias, self.scopes.last_mut()) {
            scope.imports.push((alias.as_str(), import));
        }
    }

    fn assignment(&mut self, target: &'a Expr, value: &'a Expr, operator: bool) {
        let root = root_variable(target);
        let variable = root.and_then(|(name, _)| self.visible(name));
        let reads = |walk: &Self| variable.map_or(0, |v| walk.facts.variables[v].reads.len());
        let before = reads(self);
        self.expr(value, ClosureUse::Stored);
        let reads_itself = reads(self) > before;

        let part = !matches!(target, Expr::Variable(..));
        let properties = self.facts.properties.len();
        match (variable, root) {
            (Some(variable), Some((_, position))) => {
                if part {
                    self.expr(target, ClosureUse::Stored);
                } else {
                    self.facts.variables[variable].assigned = true;
                }
                let how = match (part, operator) {
                    (false, false) => MutationKind::Assign,
                    (false, true) => MutationKind::Operator,
                    (true, false) => MutationKind::Part,
                    (true, true) => MutationKind::PartOperator,
                };
                let frame = self.frame;
                let mutation = Mutation {
                    variable,
                    frame,
                    position,
                    how,
                    reads_itself,
                };
                self.facts.mutations.push(mutation);
            }
            _ => self.expr(target, ClosureUse::Stored),
        }
        for property in &mut self.facts.properties[properties..] {
            property.assigned = true;
        }
    }
}

/// The variable at the root of what is assigned to.
fn root_variable(target: &Expr) -> Option<(&str, Position)> {
    match target {
        Expr::Variable(variable, _, position) if variable.2.path.is_empty() => {
            Some((variable.1.as_str(), *position))
        }
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => root_variable(&parts.lhs),
        _ => None,
    }
}
