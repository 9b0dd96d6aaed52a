//! What a document can hold: values that mean the same to whoever reads it.

use ccrun_kernel::rhai::{Array, Dynamic, FnPtr, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Error, Result};

use super::Format;

/// As deep as the readers of these formats follow.
const DEPTH: usize = 100;

/// Refuse a value that the format has no form for. Without this, a password file would quietly get
/// the mask of the password.
///
/// # Errors
/// `json.secret`, `json.not_plain`, `json.too_deep`, each naming the place.
pub fn check(format: Format, value: &Dynamic) -> Result<()> {
    walk(format, value, &mut Vec::new())
}

fn walk(format: Format, value: &Dynamic, path: &mut Vec<String>) -> Result<()> {
    if path.len() > DEPTH {
        return Err(Error::new(
            format.kind("too_deep"),
            format!("the value is nested deeper than {DEPTH} levels"),
        )
        .hint("does it contain itself? write less of it, or flatter"));
    }
    if let Ok(items) = value.as_array_ref() {
        for (index, item) in items.iter().enumerate() {
            path.push(format!("[{index}]"));
            walk(format, item, path)?;
            path.pop();
        }
    } else if let Ok(map) = value.as_map_ref() {
        for (key, item) in map.iter() {
            path.push(format!(".{key}"));
            walk(format, item, path)?;
            path.pop();
        }
    } else if value.is::<Secret>() {
        return Err(Error::new(
            format.kind("secret"),
            format!(
                "{} is a secret, which can't become plain {}",
                place(path),
                format.title
            ),
        )
        .hint(
            "`secret::json(value)` and `secret::template(…)` make one Secret of the whole text",
        ));
    } else if value.is::<FnPtr>() {
        return Err(Error::new(
            format.kind("not_plain"),
            format!(
                "{} is a closure, which {} has no form for",
                place(path),
                format.title
            ),
        )
        .hint("write plain values: texts, numbers, arrays, maps"));
    }
    Ok(())
}

fn place(path: &[String]) -> String {
    match path.concat() {
        whole if whole.is_empty() => "the value".to_owned(),
        inside => format!("`{}`", inside.trim_start_matches('.')),
    }
}

/// The value with the texts of its secrets in their places, and the names of these secrets. The
/// result must become a secret itself.
pub fn expose(value: &Dynamic, names: &mut Vec<String>) -> Dynamic {
    if let Some(secret) = value.read_lock::<Secret>() {
        if !names.iter().any(|name| name == secret.name()) {
            names.push(secret.name().to_owned());
        }
        return secret.expose().to_owned().into();
    }
    if let Ok(items) = value.as_array_ref() {
        return items
            .iter()
            .map(|item| expose(item, names))
            .collect::<Array>()
            .into();
    }
    if let Ok(map) = value.as_map_ref() {
        return map
            .iter()
            .map(|(key, item)| (key.clone(), expose(item, names)))
            .collect::<Map>()
            .into();
    }
    value.clone()
}
