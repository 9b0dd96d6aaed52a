//! What runs.

use std::collections::HashMap;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use super::client::Machine;
use super::machine::name_of;
use crate::files::Files;

/// Which processes, and how many.
#[derive(Clone, Options)]
pub struct ProcessesOptions {
    /// What comes first: `"memory"` or `"cpu"` (the time it has used so far).
    #[option(default = "memory")]
    sort: String,
    /// The most that are returned.
    #[option(default = "10")]
    limit: usize,
    /// Only processes whose name contains this.
    name: Option<String>,
}

/// The processes that use most: an array of maps with `pid`, `name`, `memory`, `cpu_time`, `elapsed`
/// (since it was started) and `user`.
///
/// The arguments of processes are not shown: others put their secrets there.
///
/// # Errors
/// `sys.unavailable`, `argument.type` for a `sort` that there is not.
///
/// # Example
/// ```rhai
/// let top = sys::processes(#{ limit: 3 });
/// assert(top.len() >= 1 && top[0].memory > 0);
/// ```
#[primitive(read, volatile, needs = sys("processes"))]
async fn processes(cx: &Cx, options: ProcessesOptions) -> Result<Vec<Map>> {
    let by_memory = match options.sort.as_str() {
        "memory" => true,
        "cpu" => false,
        other => {
            return Err(
                Error::new("argument.type", format!("`sort` can't be {other:?}"))
                    .hint("sort by \"memory\" or by \"cpu\""),
            );
        }
    };
    let machine = cx.client::<Machine>().await?;
    let files = cx.client::<Files>().await?;
    cx.blocking(move || {
        let system = machine.processes()?;
        let mut names: HashMap<u32, String> = HashMap::new();
        let mut found: Vec<_> = system
            .processes()
            .values()
            // On Linux the threads of processes are listed too.
            .filter(|process| process.thread_kind().is_none())
            .filter(|process| {
                let name = process.name().to_string_lossy();
                options
                    .name
                    .as_ref()
                    .is_none_or(|wanted| name.contains(wanted.as_str()))
            })
            .collect();
        found.sort_by_key(|process| {
            let used = if by_memory {
                process.memory()
            } else {
                process.accumulated_cpu_time()
            };
            (std::cmp::Reverse(used), process.pid())
        });
        found.truncate(options.limit);
        Ok(found
            .into_iter()
            .map(|process| {
                let user = process.user_id().map(|id| **id).map(|id| {
                    names
                        .entry(id)
                        .or_insert_with(|| name_of(&files, id))
                        .clone()
                });
                let millis = i64::try_from(process.accumulated_cpu_time()).unwrap_or(i64::MAX);
                let seconds = i64::try_from(process.run_time()).unwrap_or(i64::MAX);
                Map::from_iter([
                    (
                        "pid".into(),
                        Dynamic::from(i64::from(process.pid().as_u32())),
                    ),
                    (
                        "name".into(),
                        process.name().to_string_lossy().into_owned().into(),
                    ),
                    (
                        "memory".into(),
                        Dynamic::from(Size::from_bytes(process.memory())),
                    ),
                    (
                        "cpu_time".into(),
                        Dynamic::from(Duration::from_millis(millis)),
                    ),
                    (
                        "elapsed".into(),
                        Dynamic::from(Duration::from_secs(seconds)),
                    ),
                    ("user".into(), user.map_or(Dynamic::UNIT, Dynamic::from)),
                ])
            })
            .collect())
    })
    .await
}
