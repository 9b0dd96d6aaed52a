//! Steps: changes outside of them, variables that a resume loses, names that are there twice.

use std::collections::HashMap;

use rhai::{Expr, Position};

use super::facts::{
    CallId, ClosureUse, Facts, FrameId, FrameKind, Mutation, MutationKind, VariableId, VariableKind,
};
use super::file::{File, HeaderState, Role};
use super::finding::Report;
use super::resolve::Target;
use super::summary::{change_of, standing};

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    no_header(file, report);
    changes_outside(file, report);
    lost_on_resume(file, report);
    lost_updates(file, report);
    same_names(file, report);
}

fn no_header(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let headless = matches!(file.header, HeaderState::Absent);
    if !headless || file.role == Role::Module || file.program.is_module() {
        return;
    }
    let first = file.targets.iter().find_map(|target| match target {
        Target::Module { module, function } => module.functions[*function].effects.change.clone(),
        target => change_of(target).map(|primitive| primitive.path()),
    });
    if let Some(path) = first {
        let at = file
            .program
            .statements()
            .first()
            .map_or(Position::NONE, |first| first.position());
        report
            .add_line(
                "header-missing",
                at,
                format!("it changes something ({path}) and has no header"),
            )
            .suggest("begin it with `runbook(#{ needs: #{ … } });`: `--record-needs` writes one");
    }
}

fn changes_outside(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        let standing = standing(file.facts, call.frame);
        // What a function changes counts where the function is called.
        if standing.function.is_some() || standing.step != Some(false) {
            continue;
        }
        let message = match target {
            Target::Script(function) => file.effects[*function].change.as_ref().map(|path| {
                format!(
                    "`{}` makes changes ({path}) and is called outside of any step",
                    call.name
                )
            }),
            Target::Module { module, function } => module.functions[*function]
                .effects
                .change
                .as_ref()
                .map(|path| {
                    format!(
                        "`{}` makes changes ({path}) and is called outside of any step",
                        call.name
                    )
                }),
            target => change_of(target)
                .map(|primitive| format!("{} is a change outside of any step", primitive.path())),
        };
        if let Some(message) = message {
            report
                .add("change-outside-step", call.position, message)
                .suggest("it runs again on resume: put it into `step(\"…\", || …)`");
        }
    }
}

/// The step between a place and the variable that is changed there.
fn step_between(facts: &Facts<'_>, inner: FrameId, outer: FrameId) -> Option<(FrameId, CallId)> {
    facts
        .between(inner, outer)
        .find_map(|(frame, kind)| match kind {
            FrameKind::Closure(ClosureUse::Step(step)) => Some((frame, step)),
            _ => None,
        })
}

fn lost_on_resume(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let facts = file.facts;
    let mut told: Vec<(VariableId, FrameId)> = Vec::new();
    for mutation in &facts.mutations {
        let variable = &facts.variables[mutation.variable];
        let Some((frame, step)) = step_between(facts, mutation.frame, variable.frame) else {
            continue;
        };
        if !changes_value(facts, mutation) || told.contains(&(mutation.variable, frame)) {
            continue;
        }
        // Nobody outside of the step sees the value.
        let seen = variable
            .reads
            .iter()
            .any(|read| !facts.is_inside(*read, frame));
        if !seen && !variable.exported {
            continue;
        }
        told.push((mutation.variable, frame));
        let name = variable.name;
        let (what, cure) = match mutation.how {
            MutationKind::Assign => (
                "assigned",
                format!("let the step return it: `let {name} = step(…, || …)`"),
            ),
            _ => (
                "changed",
                format!("let the step return the new value: `{name} = step(…, || …)`"),
            ),
        };
        let step = match file.facts.calls[step].args.first() {
            Some(Expr::StringConstant(step, _)) => format!("the step \"{step}\""),
            _ => "a step".to_owned(),
        };
        report
            .add(
                "lost-on-resume",
                mutation.position,
                format!("`{name}` is {what} inside {step}: a resume skips the step, and the value is lost"),
            )
            .suggest(cure);
    }
}

/// Whether the value of the variable changes. A method only does so to arrays, maps and strings;
/// a handle has methods of the same names.
fn changes_value(facts: &Facts<'_>, mutation: &Mutation<'_>) -> bool {
    let variable = &facts.variables[mutation.variable];
    match mutation.how {
        MutationKind::Method(_) => {
            variable.kind == VariableKind::Let
                && matches!(
                    variable.init,
                    Some(Expr::Array(..) | Expr::Map(..) | Expr::StringConstant(..))
                )
        }
        _ => true,
    }
}

fn lost_updates(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for mutation in &file.facts.mutations {
        let plain = matches!(mutation.how, MutationKind::Assign | MutationKind::Part);
        let variable = &file.facts.variables[mutation.variable];
        let at_once = file
            .facts
            .between(mutation.frame, variable.frame)
            .any(|(_, kind)| kind == FrameKind::Closure(ClosureUse::Concurrent));
        if !plain || !mutation.reads_itself || !at_once {
            continue;
        }
        let finding = report.add(
            "lost-update",
            mutation.position,
            format!(
                "closures that run at the same time read `{}` and write it back: updates get lost",
                variable.name
            ),
        );
        finding.suggest(match mutation.how {
            MutationKind::Assign => format!(
                "write `{} += …`, or return the parts and put them together afterwards",
                variable.name
            ),
            _ => "return the parts, and put them together afterwards".to_owned(),
        });
    }
}

fn same_names(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let facts = file.facts;
    let mut seen: HashMap<(&str, FrameId), Vec<CallId>> = HashMap::new();
    for (id, (call, target)) in facts.calls.iter().zip(file.targets).enumerate() {
        let is_step = call.name == "step"
            && call.namespace.is_empty()
            && call.receiver.is_none()
            && !matches!(target, Target::Script(_));
        let Some(Expr::StringConstant(name, position)) = call.args.first().filter(|_| is_step)
        else {
            continue;
        };
        // In a loop the same name comes again and again, and its occurrences are counted.
        let Some(parent) = parent(facts, call.frame) else {
            continue;
        };
        let earlier = seen.entry((name.as_str(), parent)).or_default();
        let twin = earlier
            .iter()
            .find(|other| !exclusive(facts, facts.calls[**other].frame, call.frame));
        if let Some(twin) = twin {
            let line = facts.calls[*twin].position.line().unwrap_or_default();
            report
                .add(
                    "duplicate-step",
                    *position,
                    format!("there is another step \"{name}\" here, in line {line}"),
                )
                .suggest(
                    "give it a name of its own: the journal, `--from` and a resume go by names",
                );
        }
        earlier.push(id);
    }
}

/// The step, function or file in which a step stands, unless it is in a loop there.
fn parent(facts: &Facts<'_>, frame: FrameId) -> Option<FrameId> {
    for (frame, kind) in facts.around(frame) {
        match kind {
            FrameKind::Loop | FrameKind::Closure(ClosureUse::Argument | ClosureUse::Stored) => {
                return None;
            }
            FrameKind::Branch { .. } | FrameKind::Closure(ClosureUse::Concurrent) => {}
            FrameKind::File
            | FrameKind::Function(_)
            | FrameKind::Closure(ClosureUse::Step(_) | ClosureUse::Later) => return Some(frame),
        }
    }
    None
}

/// Whether two places are in different arms of one branch, so that only one of them runs.
fn exclusive(facts: &Facts<'_>, one: FrameId, other: FrameId) -> bool {
    let arms = |frame| {
        facts.around(frame).filter_map(|(_, kind)| match kind {
            FrameKind::Branch { of, arm } => Some((of, arm)),
            _ => None,
        })
    };
    let others: Vec<(usize, usize)> = arms(other).collect();
    arms(one).any(|(of, arm)| others.iter().any(|other| other.0 == of && other.1 != arm))
}
