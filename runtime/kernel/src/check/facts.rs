//! What a script does, gathered in one walk for all rules: calls, variables, and the places where
//! they stand.

use std::collections::HashMap;

use rhai::{Expr, FnCallExpr, Ident, Position};

/// The number of a [`Frame`].
pub type FrameId = usize;
/// The number of a [`Variable`].
pub type VariableId = usize;
/// The number of a [`Call`].
pub type CallId = usize;
/// The number of a [`Chain`].
pub type ChainId = usize;

/// Everything that one walk found.
#[derive(Default)]
pub struct Facts<'a> {
    pub frames: Vec<Frame>,
    pub calls: Vec<Call<'a>>,
    pub chains: Vec<Chain<'a>>,
    pub properties: Vec<Property<'a>>,
    pub variables: Vec<Variable<'a>>,
    pub mutations: Vec<Mutation<'a>>,
    pub unknown: Vec<UnknownName<'a>>,
    pub qualified: Vec<QualifiedName<'a>>,
    pub imports: Vec<Import<'a>>,
    pub unreachable: Vec<Unreachable>,
    /// Literal maps, and texts without `${…}`.
    pub maps: Vec<&'a [(Ident, Expr)]>,
    pub strings: Vec<(&'a str, Position)>,
    pub params: ParamUses<'a>,
    /// Which variable an expression reads, by the expression's address.
    pub uses: HashMap<*const Expr, VariableId>,
    pub call_of: HashMap<*const FnCallExpr, CallId>,
    pub chain_of: HashMap<*const Expr, ChainId>,
}

/// A place: what must happen for the code in it to run.
pub struct Frame {
    pub parent: Option<FrameId>,
    pub kind: FrameKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    File,
    /// The body of a named function, by its index in the program.
    Function(usize),
    Closure(ClosureUse),
    Loop,
    /// One arm of an `if`, `switch` or `try`.
    Branch {
        of: usize,
        arm: usize,
    },
}

/// What happens with a closure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosureUse {
    /// The body of a step.
    Step(CallId),
    /// Runs at the same time as others: `parallel`, `each`.
    Concurrent,
    /// Runs later: `defer`, the `undo` of a step.
    Later,
    /// An argument of another call, which is taken to call it.
    Argument,
    /// Kept in a variable or a map: who calls it is not known.
    Stored,
}

/// A call, except of operators.
pub struct Call<'a> {
    /// `a::b` of `a::b::f()`.
    pub namespace: &'a [Ident],
    pub name: &'a str,
    pub args: &'a [Expr],
    pub position: Position,
    pub frame: FrameId,
    /// The value before the dot: the chain, and how many links come before this call.
    pub receiver: Option<(ChainId, usize)>,
    /// What the first name of the namespace means here.
    pub import: Option<usize>,
    /// A variable of this name is in sight.
    pub shadow: Option<VariableId>,
}

/// `base.a.b()[c]`.
pub struct Chain<'a> {
    pub base: &'a Expr,
    pub links: Vec<Link<'a>>,
}

pub enum Link<'a> {
    Property(&'a str),
    Method(CallId),
    Index,
}

/// `x.name`
pub struct Property<'a> {
    pub name: &'a str,
    pub position: Position,
    pub receiver: (ChainId, usize),
    /// A statement of its own, whose value nobody takes.
    pub idle: bool,
    /// A value is put into it.
    pub assigned: bool,
}

pub struct Variable<'a> {
    pub name: &'a str,
    pub position: Position,
    pub frame: FrameId,
    pub kind: VariableKind,
    /// What it begins with.
    pub init: Option<&'a Expr>,
    /// Where it is read.
    pub reads: Vec<FrameId>,
    /// Whether another value is put into it later.
    pub assigned: bool,
    pub exported: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableKind {
    Let,
    Const,
    Parameter,
    /// Of a `for`: `init` is what is iterated over.
    Element,
    Caught,
}

/// A variable is changed.
pub struct Mutation<'a> {
    pub variable: VariableId,
    pub frame: FrameId,
    pub position: Position,
    pub how: MutationKind<'a>,
    /// `x = … x …`: what is written depends on what was read before.
    pub reads_itself: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MutationKind<'a> {
    /// `x = …`
    Assign,
    /// `x += …`
    Operator,
    /// `x.a = …`, `x[0] = …`
    Part,
    /// `x.a += …`
    PartOperator,
    /// `x.push(…)`
    Method(&'a str),
}

/// A variable that is not in sight.
pub struct UnknownName<'a> {
    pub name: &'a str,
    pub position: Position,
    /// It exists outside of the function.
    pub outside: bool,
    pub candidates: Vec<&'a str>,
}

/// `a::b::NAME` that is not a call.
pub struct QualifiedName<'a> {
    pub namespace: &'a [Ident],
    pub name: &'a str,
    pub position: Position,
    pub import: Option<usize>,
}

pub struct Import<'a> {
    /// The path, if it is written out.
    pub path: Option<&'a str>,
    pub position: Position,
    /// The name it gets, if it gets one.
    pub alias: Option<&'a Ident>,
    pub used: bool,
    /// At the top level, where a module passes it on to its users.
    pub top: bool,
}

/// Code that never runs.
pub struct Unreachable {
    pub position: Position,
    /// `return`
    pub after: &'static str,
    pub line: usize,
}

/// How the parameters of the runbook are used.
#[derive(Default)]
pub struct ParamUses<'a> {
    pub names: Vec<(&'a str, Position)>,
    /// Used as a whole: each may be meant.
    pub all: bool,
}

impl Facts<'_> {
    /// The frame and those around it, from the inside out.
    pub fn around(&self, frame: FrameId) -> impl Iterator<Item = (FrameId, FrameKind)> + '_ {
        std::iter::successors(Some(frame), |frame| self.frames[*frame].parent)
            .map(|frame| (frame, self.frames[frame].kind))
    }

    /// The names that entries of maps have in this file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let written = self
            .maps
            .iter()
            .flat_map(|map| map.iter().map(|(key, _)| key.as_str()));
        let assigned = self.properties.iter().filter(|property| property.assigned);
        written.chain(assigned.map(|property| property.name))
    }

    /// Whether `inner` is `outer` or inside of it.
    pub fn is_inside(&self, inner: FrameId, outer: FrameId) -> bool {
        self.around(inner).any(|(frame, _)| frame == outer)
    }

    /// The frames from `inner` out to `outer`, without `outer`.
    pub fn between(
        &self,
        inner: FrameId,
        outer: FrameId,
    ) -> impl Iterator<Item = (FrameId, FrameKind)> + '_ {
        self.around(inner)
            .take_while(move |(frame, _)| *frame != outer)
    }
}
