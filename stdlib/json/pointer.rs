//! JSON Pointer, RFC 6901.

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{Error, Result, primitive};

/// The part of a value that a JSON Pointer (RFC 6901) names, or `()` if there is none.
///
/// `"/services/web/ports/0"`; `~1` stands for `/` and `~0` for `~` in a key. The empty pointer is the
/// whole value.
///
/// # Errors
/// `json.pointer` if the pointer does not begin with `/`.
///
/// # Example
/// ```rhai
/// let project = #{ services: #{ web: #{ ports: [80, 443] } } };
/// assert(json::pointer(project, "/services/web/ports/1") == 443);
/// assert(json::pointer(project, "/services/db/ports/0") == ());
/// ```
#[primitive(pure)]
pub fn pointer(value: Dynamic, pointer: String) -> Result<Dynamic> {
    if pointer.is_empty() {
        return Ok(value);
    }
    let Some(path) = pointer.strip_prefix('/') else {
        return Err(Error::new(
            "json.pointer",
            format!("`{pointer}` is not a JSON Pointer: it begins with `/`"),
        )
        .hint(format!("write `/{}`", pointer.replace('.', "/"))));
    };
    let mut here = value;
    for token in path.split('/') {
        // In this order, so that `~01` is `~1` (section 4 of the RFC).
        let key = token.replace("~1", "/").replace("~0", "~");
        let next = step(&here, &key);
        match next {
            Some(next) => here = next,
            None => return Ok(Dynamic::UNIT),
        }
    }
    Ok(here)
}

fn step(value: &Dynamic, key: &str) -> Option<Dynamic> {
    if let Ok(map) = value.as_map_ref() {
        return map.get(key).cloned();
    }
    let items = value.as_array_ref().ok()?;
    // Section 4: digits without leading zeros.
    let index = key.bytes().all(|b| b.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
    items
        .get(key.parse::<usize>().ok().filter(|_| index)?)
        .cloned()
}
