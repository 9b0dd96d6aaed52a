//! The walk over a script that gathers the facts.
//!
//! `AST::walk` would visit the same nodes, but without scopes: here closures are visited where they
//! stand, with the variables that are in sight there.

use rhai::{ASTFlags, Expr, FlowControl, FnCallExpr, Ident, Position, Stmt};

use super::facts::{
    Call, CallId, Chain, ClosureUse, Facts, Frame, FrameId, FrameKind, Import, Link, Mutation,
    MutationKind, Property, QualifiedName, UnknownName, Unreachable, Variable, VariableId,
    VariableKind,
};
use super::program::Program;

/// The variables that every script sees.
pub const HOST_VARIABLES: [&str; 3] = ["params", "target", "trigger"];

/// Methods of arrays, maps, strings and blobs that change them.
const MUTATING: [&str; 24] = [
    "push", "append", "insert", "pop", "shift", "remove", "clear", "set", "truncate", "chop", "pad",
    "drain", "retain", "splice", "sort", "reverse", "dedup", "mixin", "fill_with", "replace", "trim",
    "make_upper", "make_lower", "crop",
];

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
    walk.facts.frames.push(Frame { parent: None, kind: FrameKind::File });
    walk.statements(program.statements());
    let functions = program.functions().iter().enumerate();
    for (index, function) in functions.filter(|(_, function)| !function.is_closure()) {
        walk.inside(FrameKind::Function(index), |walk| {
            walk.scopes.push(Scope { function: true, ..Scope::default() });
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
        self.facts.frames.push(Frame { parent: Some(outer), kind });
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
        let leaving = statements.iter().enumerate().find_map(|(index, statement)| {
            leaves(statement).map(|word| (index, word, statement.position()))
        });
        if let Some((index, after, position)) = leaving
            && let Some(next) = statements[index + 1..].iter().find(|next| !is_silent(next))
        {
            let line = position.line().unwrap_or_default();
            self.facts.unreachable.push(Unreachable { position: next.position(), after, line });
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
        self.facts.imports.push(Import { path, position, alias, used: false, top });
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
                let mutation = Mutation { variable, frame, position, how, reads_itself };
                self.facts.mutations.push(mutation);
            }
            _ => self.expr(target, ClosureUse::Stored),
        }
    }

    // Expressions.

    /// `closure` is what happens with the expression if it is a closure.
    fn expr(&mut self, expr: &'a Expr, closure: ClosureUse) {
        match expr {
            Expr::StringConstant(text, position) => {
                self.facts.strings.push((text.as_str(), *position));
            }
            Expr::DynamicConstant(..) => self.closure(expr, closure),
            Expr::Stmt(block) => match is_closure(expr) {
                true => self.closure(expr, closure),
                false => self.block(block.statements()),
            },
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| self.expr(part, ClosureUse::Stored));
            }
            Expr::Array(items, _) => items.iter().for_each(|item| self.expr(item, closure)),
            Expr::Map(map, _) => {
                self.facts.maps.push(&map.0);
                // Options hold closures that are called later, or by the function they are for.
                let closure = match closure {
                    ClosureUse::Step(_) => ClosureUse::Later,
                    other => other,
                };
                map.0.iter().for_each(|(_, value)| self.expr(value, closure));
            }
            Expr::Variable(variable, _, position) => match variable.2.path.is_empty() {
                true => self.variable(expr, &variable.1, *position),
                false => self.qualified(&variable.2.path, &variable.1, *position),
            },
            Expr::Dot(..) | Expr::Index(..) => self.chain(expr),
            Expr::FnCall(call, position) | Expr::MethodCall(call, position) => {
                self.call(call, *position, None);
            }
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                parts.iter().for_each(|part| self.expr(part, ClosureUse::Stored));
            }
            _ => {}
        }
    }

    fn variable(&mut self, expr: &'a Expr, name: &'a str, position: Position) {
        if let Some(variable) = self.read(name, position) {
            self.facts.uses.insert(expr, variable);
        } else if name == "params" {
            self.facts.params.all = true;
        }
    }

    fn qualified(&mut self, namespace: &'a [Ident], name: &'a str, position: Position) {
        // `global::NAME` are the constants of the file.
        if let [only] = namespace
            && only.as_str() == "global"
        {
            let constants: Vec<(&str, VariableId)> = self.scopes[0]
                .variables
                .iter()
                .filter(|(_, id)| self.facts.variables[*id].kind == VariableKind::Const)
                .copied()
                .collect();
            match constants.iter().rev().find(|(other, _)| *other == name) {
                Some((_, variable)) => self.facts.variables[*variable].reads.push(self.frame),
                None => self.facts.unknown.push(UnknownName {
                    name,
                    position,
                    outside: false,
                    candidates: constants.into_iter().map(|(name, _)| name).collect(),
                }),
            }
            return;
        }
        let import = self.imported(namespace);
        self.facts.qualified.push(QualifiedName { namespace, name, position, import });
    }

    fn imported(&mut self, namespace: &[Ident]) -> Option<usize> {
        let first = namespace.first()?.as_str();
        let scopes = self.scopes.iter().rev();
        let import = scopes
            .flat_map(|scope| scope.imports.iter().rev())
            .find(|(alias, _)| *alias == first)
            .map(|(_, import)| *import)?;
        self.facts.imports[import].used = true;
        Some(import)
    }

    fn call(
        &mut self,
        call: &'a FnCallExpr,
        position: Position,
        receiver: Option<(usize, usize)>,
    ) -> Option<CallId> {
        if call.is_operator_call() {
            call.args.iter().for_each(|arg| self.expr(arg, ClosureUse::Stored));
            return None;
        }
        let id = self.facts.calls.len();
        let name = call.name.as_str();
        let import = self.imported(&call.namespace.path);
        let shadow = match receiver.is_none() && call.namespace.path.is_empty() {
            true => self.visible(name),
            false => None,
        };
        self.facts.calls.push(Call {
            namespace: &call.namespace.path,
            name,
            args: &call.args,
            position,
            frame: self.frame,
            receiver,
            import,
            shadow,
        });
        self.facts.call_of.insert(call, id);
        let language = receiver.is_none()
            && call.namespace.path.is_empty()
            && self.program.named(name).next().is_none();
        let closure = match name {
            "step" if language => ClosureUse::Step(id),
            "parallel" | "each" if language => ClosureUse::Concurrent,
            "defer" if language => ClosureUse::Later,
            _ => ClosureUse::Argument,
        };
        call.args.iter().for_each(|arg| self.expr(arg, closure));
        Some(id)
    }

    fn closure(&mut self, expr: &'a Expr, used: ClosureUse) {
        let Some((name, captured)) = closure_parts(expr) else { return };
        let Some(index) = self.program.closure(&name) else { return };
        if self.visiting.contains(&index) {
            return;
        }
        self.visiting.push(index);
        let program = self.program;
        let function = &program.functions()[index];
        self.inside(FrameKind::Closure(used), |walk| {
            walk.scoped(|walk| {
                for param in function.params.iter().skip(captured) {
                    walk.declare(param, expr.start_position(), VariableKind::Parameter, None);
                }
                walk.statements(&function.body);
            });
        });
        self.visiting.pop();
    }

    /// `base.a.b()[c].d`: Rhai nests it to the right.
    fn chain(&mut self, expr: &'a Expr) {
        let (Expr::Dot(parts, flags, _) | Expr::Index(parts, flags, _)) = expr else { return };
        let chain = self.facts.chains.len();
        self.facts.chains.push(Chain { base: &parts.lhs, links: Vec::new() });
        self.facts.chain_of.insert(expr, chain);

        let root = match &parts.lhs {
            Expr::Variable(variable, _, position) if variable.2.path.is_empty() => {
                Some((variable.1.as_str(), *position))
            }
            _ => None,
        };
        let of_params = root.is_some_and(|(name, _)| name == "params" && self.visible(name).is_none());
        if !of_params {
            self.expr(&parts.lhs, ClosureUse::Stored);
        }

        let mut dotted = matches!(expr, Expr::Dot(..));
        let mut rest = &parts.rhs;
        let mut ends = flags.contains(ASTFlags::BREAK);
        let mut first = true;
        loop {
            let next = match rest {
                Expr::Dot(parts, flags, _) | Expr::Index(parts, flags, _) if !ends => {
                    Some((&parts.lhs, &parts.rhs, *flags, matches!(rest, Expr::Dot(..))))
                }
                _ => None,
            };
            let link = next.map_or(rest, |(link, ..)| link);
            if first && of_params {
                self.param(link);
            }
            first = false;
            self.link(chain, link, dotted, root);
            let Some((_, after, flags, dot)) = next else { break };
            (rest, dotted, ends) = (after, dot, flags.contains(ASTFlags::BREAK));
        }
    }

    fn link(
        &mut self,
        chain: usize,
        link: &'a Expr,
        dotted: bool,
        root: Option<(&'a str, Position)>,
    ) {
        let receiver = (chain, self.facts.chains[chain].links.len());
        let link = match link {
            Expr::Property(property, position) if dotted => {
                let (name, position) = (property.2.as_str(), *position);
                let property = Property { name, position, receiver, idle: false };
                self.facts.properties.push(property);
                Link::Property(name)
            }
            Expr::MethodCall(call, position) | Expr::FnCall(call, position) if dotted => {
                if MUTATING.contains(&call.name.as_str())
                    && let Some((name, position)) = root
                    && let Some(variable) = self.visible(name)
                {
                    let how = MutationKind::Method(call.name.as_str());
                    let frame = self.frame;
                    let mutation =
                        Mutation { variable, frame, position, how, reads_itself: false };
                    self.facts.mutations.push(mutation);
                }
                match self.call(call, *position, Some(receiver)) {
                    Some(id) => Link::Method(id),
                    None => Link::Index,
                }
            }
            other => {
                self.expr(other, ClosureUse::Stored);
                Link::Index
            }
        };
        self.facts.chains[chain].links.push(link);
    }

    /// The first link after `params`.
    fn param(&mut self, link: &'a Expr) {
        match link {
            Expr::Property(property, position) => {
                self.facts.params.names.push((property.2.as_str(), *position));
            }
            Expr::StringConstant(name, position) => {
                self.facts.params.names.push((name.as_str(), *position));
            }
            _ => self.facts.params.all = true,
        }
    }

    // Variables.

    fn declare(
        &mut self,
        name: &'a str,
        position: Position,
        kind: VariableKind,
        init: Option<&'a Expr>,
    ) -> VariableId {
        let id = self.facts.variables.len();
        self.facts.variables.push(Variable {
            name,
            position,
            frame: self.frame,
            kind,
            init,
            reads: Vec::new(),
            assigned: false,
            exported: false,
        });
        if let Some(scope) = self.scopes.last_mut() {
            scope.variables.push((name, id));
        }
        id
    }

    /// The scopes that are in sight, from the inside out.
    fn in_sight(&self) -> impl Iterator<Item = &Scope<'a>> {
        let border = self.scopes.iter().rposition(|scope| scope.function).unwrap_or(0);
        self.scopes[border..].iter().rev()
    }

    fn visible(&self, name: &str) -> Option<VariableId> {
        self.in_sight()
            .flat_map(|scope| scope.variables.iter().rev())
            .find(|(other, _)| *other == name)
            .map(|(_, variable)| *variable)
    }

    fn read(&mut self, name: &'a str, position: Position) -> Option<VariableId> {
        let variable = self.visible(name);
        if let Some(variable) = variable {
            self.facts.variables[variable].reads.push(self.frame);
        } else if !HOST_VARIABLES.contains(&name) {
            let outside = self.scopes[0].variables.iter().any(|(other, _)| *other == name);
            let candidates = self
                .in_sight()
                .flat_map(|scope| scope.variables.iter().map(|(name, _)| *name))
                .collect();
            self.facts.unknown.push(UnknownName { name, position, outside, candidates });
        }
        variable
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

/// Whether the block is what Rhai makes of a closure that captures variables: the variables are
/// shared, and then bound to the function.
fn is_closure(expr: &Expr) -> bool {
    closure_parts(expr).is_some()
}

/// The internal name of a closure, and how many variables it captures.
fn closure_parts(expr: &Expr) -> Option<(String, usize)> {
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

fn bound_parts(call: &FnCallExpr) -> Option<(String, usize)> {
    match &call.args[..] {
        [function @ Expr::DynamicConstant(..), captured @ ..] => {
            closure_parts(function).map(|(name, _)| (name, captured.len()))
        }
        _ => None,
    }
}

/// The word with which a statement leaves its block in any case, if it does.
fn leaves(statement: &Stmt) -> Option<&'static str> {
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

fn exits(call: &FnCallExpr) -> Option<&'static str> {
    (call.name == "exit" && !call.is_qualified()).then_some("exit")
}

/// Statements of which it does not matter whether they are reached.
fn is_silent(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Noop(_) | Stmt::Share(_))
}
