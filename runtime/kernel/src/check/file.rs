//! One file with all that the rules read.

use rhai::Expr;

use super::catalog::Catalog;
use super::facts::{Call, Facts};
use super::imports::Imported;
use super::program::Program;
use super::resolve::{Resolver, Target};
use super::summary::Effects;
use crate::primitive::{Param, Primitive};
use crate::runbook::Header;

/// One file with all that the rules read.
pub struct File<'f, 'a, 'r> {
    pub program: &'a Program,
    pub facts: &'f Facts<'a>,
    pub catalog: &'f Catalog<'r>,
    pub resolver: &'f Resolver<'f, 'a, 'r>,
    /// What each call means.
    pub targets: &'f [Target<'r>],
    pub imports: &'f [Imported],
    /// What each function does, and last the top level.
    pub effects: &'f [Effects],
    pub header: HeaderState<'f>,
    pub role: Role,
}

/// What is known of the header.
#[derive(Clone, Copy)]
pub enum HeaderState<'h> {
    /// There is none.
    Absent,
    /// There is one with a mistake, which is reported already.
    Broken,
    /// This one.
    Read(&'h Header),
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is run.
    Runbook,
    /// It is imported.
    Module,
}

/// The arguments of a call next to the parameters that they are for. As in a run, optional
/// parameters are left out from the right.
pub fn aligned<'p, 'a>(
    primitive: &'p Primitive,
    args: &'a [Expr],
) -> Vec<(&'p Param, Option<&'a Expr>)> {
    let mut missing = primitive.params.len().saturating_sub(args.len());
    let mut left_out = vec![false; primitive.params.len()];
    for (index, param) in primitive.params.iter().enumerate().rev() {
        if missing > 0 && param.optional {
            left_out[index] = true;
            missing -= 1;
        }
    }
    let mut args = args.iter();
    primitive
        .params
        .iter()
        .zip(left_out)
        .map(|(param, out)| (param, if out { None } else { args.next() }))
        .collect()
}

/// The argument of a call for the parameter with this index.
pub fn argument<'a>(primitive: &Primitive, call: &Call<'a>, index: usize) -> Option<&'a Expr> {
    aligned(primitive, call.args)
        .get(index)
        .and_then(|(_, arg)| *arg)
}
