//! JSON Merge Patch, RFC 7386.

use ccrun_kernel::primitive;
use ccrun_kernel::rhai::{Dynamic, Map};

/// A value with a patch laid over it, by JSON Merge Patch (RFC 7386).
///
/// Maps merge key by key; a key whose value in the patch is `()` is removed; everything else,
/// arrays too, is replaced. Neither argument changes.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let defaults = #{ image: "web", limits: #{ cpu: 1, memory: "1GiB" } };
/// let merged = json::merge(defaults, #{ limits: #{ memory: "2GiB", cpu: () } });
/// assert(merged == #{ image: "web", limits: #{ memory: "2GiB" } });
/// ```
#[primitive(pure)]
pub fn merge(target: Dynamic, patch: Dynamic) -> Dynamic {
    let Ok(patch) = patch.as_map_ref() else {
        return patch;
    };
    let mut result = target.try_cast::<Map>().unwrap_or_default();
    for (key, change) in patch.iter() {
        if change.is_unit() {
            result.remove(key);
        } else {
            let old = result.remove(key).unwrap_or(Dynamic::UNIT);
            result.insert(key.clone(), merge(old, change.clone()));
        }
    }
    result.into()
}
