//! Expressions: calls, closures, and chains of dots.

use rhai::{ASTFlags, Expr, FnCallExpr, Position};

use super::Walk;
use super::closures::{closure_parts, is_closure};
use crate::check::facts::{
    Call, CallId, Chain, ClosureUse, FrameKind, Link, Mutation, MutationKind, Property,
    VariableKind,
};

/// Methods of arrays, maps, strings and blobs that change them.
const MUTATING: [&str; 24] = [
    "push",
    "append",
    "insert",
    "pop",
    "shift",
    "remove",
    "clear",
    "set",
    "truncate",
    "chop",
    "pad",
    "drain",
    "retain",
    "splice",
    "sort",
    "reverse",
    "dedup",
    "mixin",
    "fill_with",
    "replace",
    "trim",
    "make_upper",
    "make_lower",
    "crop",
];

impl<'a> Walk<'a> {
    /// `closure` is what happens with the expression if it is a closure.
    pub(super) fn expr(&mut self, expr: &'a Expr, closure: ClosureUse) {
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
                parts
                    .iter()
                    .for_each(|part| self.expr(part, ClosureUse::Stored));
            }
            Expr::Array(items, _) => items.iter().for_each(|item| self.expr(item, closure)),
            Expr::Map(map, _) => {
                self.facts.maps.push(&map.0);
                // Options hold closures that are called later, or by the function they are for.
                let closure = match closure {
                    ClosureUse::Step(_) => ClosureUse::Later,
                    other => other,
                };
                map.0
                    .iter()
                    .for_each(|(_, value)| self.expr(value, closure));
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
                parts
                    .iter()
                    .for_each(|part| self.expr(part, ClosureUse::Stored));
            }
            _ => {}
        }
    }

    pub(super) fn variable(&mut self, expr: &'a Expr, name: &'a str, position: Position) {
        if let Some(variable) = self.read(name, position) {
            self.facts.uses.insert(expr, variable);
        } else if name == "params" {
            self.facts.params.all = true;
        }
    }

    pub(super) fn call(
        &mut self,
        call: &'a FnCallExpr,
        position: Position,
        receiver: Option<(usize, usize)>,
    ) -> Option<CallId> {
        if call.is_operator_call() {
            call.args
                .iter()
                .for_each(|arg| self.expr(arg, ClosureUse::Stored));
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

    pub(super) fn closure(&mut self, expr: &'a Expr, used: ClosureUse) {
        let Some((name, captured)) = closure_parts(expr) else {
            return;
        };
        let Some(index) = self.program.closure(&name) else {
            return;
        };
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
    pub(super) fn chain(&mut self, expr: &'a Expr) {
        let (Expr::Dot(parts, flags, _) | Expr::Index(parts, flags, _)) = expr else {
            return;
        };
        let chain = self.facts.chains.len();
        self.facts.chains.push(Chain {
            base: &parts.lhs,
            links: Vec::new(),
        });
        self.facts.chain_of.insert(expr, chain);

        let root = match &parts.lhs {
            Expr::Variable(variable, _, position) if variable.2.path.is_empty() => {
                Some((variable.1.as_str(), *position))
            }
            _ => None,
        };
        let of_params =
            root.is_some_and(|(name, _)| name == "params" && self.visible(name).is_none());
        if !of_params {
            self.expr(&parts.lhs, ClosureUse::Stored);
        }

        let mut dotted = matches!(expr, Expr::Dot(..));
        let mut rest = &parts.rhs;
        let mut ends = flags.contains(ASTFlags::BREAK);
        let mut first = true;
        loop {
            let next = match rest {
                Expr::Dot(parts, flags, _) | Expr::Index(parts, flags, _) if !ends => Some((
                    &parts.lhs,
                    &parts.rhs,
                    *flags,
                    matches!(rest, Expr::Dot(..)),
                )),
                _ => None,
            };
            let link = next.map_or(rest, |(link, ..)| link);
            if first && of_params {
                self.param(link);
            }
            first = false;
            self.link(chain, link, dotted, root);
            let Some((_, after, flags, dot)) = next else {
                break;
            };
            (rest, dotted, ends) = (after, dot, flags.contains(ASTFlags::BREAK));
        }
    }

    pub(super) fn link(
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
                let property = Property {
                    name,
                    position,
                    receiver,
                    idle: false,
                    assigned: false,
                };
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
                    let mutation = Mutation {
                        variable,
                        frame,
                        position,
                        how,
                        reads_itself: false,
                    };
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
    pub(super) fn param(&mut self, link: &'a Expr) {
        match link {
            Expr::Property(property, position) => {
                self.facts
                    .params
                    .names
                    .push((property.2.as_str(), *position));
            }
            Expr::StringConstant(name, position) => {
                self.facts.params.names.push((name.as_str(), *position));
            }
            _ => self.facts.params.all = true,
        }
    }
}
