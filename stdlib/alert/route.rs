//! Which channels an alert goes to.

use ccrun_kernel::value::closest;
use ccrun_kernel::{Error, Result};

use super::definition::Definition;
use super::model::{Action, Alert, fits};
use super::state::Known;

/// The channels that an alert goes to: those that are named, or all that want it.
///
/// # Errors
/// `alert.no_channel` if one is named that does not exist.
pub fn route<'d>(
    all: &'d [Definition],
    alert: &Alert,
    named: Option<&[String]>,
    known: Option<&Known>,
) -> Result<Vec<&'d Definition>> {
    if let Some(named) = named {
        return named.iter().map(|name| find(all, name)).collect();
    }
    Ok(all
        .iter()
        .filter(|channel| wants(channel, alert, known))
        .collect())
}

/// The channel with this name.
///
/// # Errors
/// `alert.no_channel` with the nearest one.
pub fn find<'d>(all: &'d [Definition], name: &str) -> Result<&'d Definition> {
    all.iter().find(|channel| channel.name == name).ok_or_else(|| {
        let error = Error::new("alert.no_channel", format!("the target has no channel `{name}`"));
        let names = all.iter().map(|channel| channel.name.as_str());
        match closest(name, names.clone()) {
            Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
            None if all.is_empty() => error.hint(format!("add it to the target in ccrun.toml: alerts = {{ {name} = \"slack:secret:SLACK_WEBHOOK\" }}")),
            None => error.hint(format!("there are {}", names.collect::<Vec<_>>().join(", "))),
        }
    })
}

fn wants(channel: &Definition, alert: &Alert, known: Option<&Known>) -> bool {
    if !channel.kind.routed {
        return false;
    }
    let settings = &channel.settings;
    if alert.action == Action::Resolve && settings.resolve == Some(false) {
        return false;
    }
    // Who was told that it is there is told what becomes of it, whatever is known of it now.
    if alert.action != Action::Trigger
        && let Some(known) = known
    {
        return known.told.contains_key(&channel.name)
            || channel.kind.keeps && matches(channel, alert);
    }
    matches(channel, alert)
}

fn matches(channel: &Definition, alert: &Alert) -> bool {
    let settings = &channel.settings;
    settings
        .severity
        .is_none_or(|least| alert.severity >= least)
        && settings
            .labels
            .iter()
            .all(|(name, pattern)| alert.label(name).is_some_and(|value| fits(pattern, value)))
}
