//! Names: which variable or import one means.

use rhai::{Expr, Ident, Position};

use super::{HOST_VARIABLES, Scope, Walk};
use crate::check::facts::{QualifiedName, UnknownName, Variable, VariableId, VariableKind};

impl<'a> Walk<'a> {
    pub(super) fn declare(
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
    pub(super) fn in_sight(&self) -> impl Iterator<Item = &Scope<'a>> {
        let border = self
            .scopes
            .iter()
            .rposition(|scope| scope.function)
            .unwrap_or(0);
        self.scopes[border..].iter().rev()
    }

    pub(super) fn visible(&self, name: &str) -> Option<VariableId> {
        self.in_sight()
            .flat_map(|scope| scope.variables.iter().rev())
            .find(|(other, _)| *other == name)
            .map(|(_, variable)| *variable)
    }

    pub(super) fn read(&mut self, name: &'a str, position: Position) -> Option<VariableId> {
        let variable = self.visible(name);
        if let Some(variable) = variable {
            self.facts.variables[variable].reads.push(self.frame);
        } else if !HOST_VARIABLES.contains(&name) {
            let outside = self.scopes[0]
                .variables
                .iter()
                .any(|(other, _)| *other == name);
            let candidates = self
                .in_sight()
                .flat_map(|scope| scope.variables.iter().map(|(name, _)| *name))
                .collect();
            self.facts.unknown.push(UnknownName {
                name,
                position,
                outside,
                candidates,
            });
        }
        variable
    }

    pub(super) fn qualified(&mut self, namespace: &'a [Ident], name: &'a str, position: Position) {
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
        self.facts.qualified.push(QualifiedName {
            namespace,
            name,
            position,
            import,
        });
    }

    pub(super) fn imported(&mut self, namespace: &[Ident]) -> Option<usize> {
        let first = namespace.first()?.as_str();
        let scopes = self.scopes.iter().rev();
        let import = scopes
            .flat_map(|scope| scope.imports.iter().rev())
            .find(|(alias, _)| *alias == first)
            .map(|(_, import)| *import)?;
        self.facts.imports[import].used = true;
        Some(import)
    }
}
