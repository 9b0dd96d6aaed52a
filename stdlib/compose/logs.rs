//! What the services wrote.

use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use super::cli::Call;
use super::project::Project;

/// Which lines are wanted.
#[derive(Clone, Options)]
pub struct LogOptions {
    /// Only of these services.
    services: Option<Vec<String>>,
    /// So many lines of each container at most, the newest.
    #[option(default = "100")]
    tail: u64,
    /// Only lines younger than this.
    since: Option<Duration>,
    /// Only lines that this regular expression matches.
    grep: Option<String>,
}

impl Project {
    /// The newest lines that the services wrote: maps with `container`, `time`, `line`.
    ///
    /// # Errors
    /// `compose.no_service`, `compose.failed`, `compose.pattern` for a bad `grep`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for entry in compose::project().logs(#{ services: ["postgrest"], since: "10m", grep: "(?i)error" }) {
    ///     print(`${entry.time} ${entry.line}`);
    /// }
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn logs(&self, cx: &Cx, options: LogOptions) -> Result<Vec<Map>> {
        let pattern = match &options.grep {
            Some(text) => Some(regex::Regex::new(text).map_err(|error| {
                Error::new(
                    "compose.pattern",
                    format!("`grep` is no regular expression: {error}"),
                )
            })?),
            None => None,
        };
        let mut words = vec!["--tail".to_owned(), options.tail.to_string()];
        if let Some(since) = options.since {
            words.push("--since".to_owned());
            words.push(format!("{}s", since.to_std().as_secs().max(1)));
        }
        words.extend(options.services.into_iter().flatten());
        let mut call = Call::read(cx, &self.0, &["logs", "--no-color", "--timestamps"]).and(words);
        call.max_output = Size::from_bytes(64 << 20);
        let text = call.text().await?;
        Ok(text
            .lines()
            .filter_map(|line| {
                // `web-1  | 2026-11-23T12:00:00.123456789Z the line`
                let (container, rest) = line.split_once('|')?;
                let rest = rest.strip_prefix(' ').unwrap_or(rest);
                let (time, line) = rest.split_once(' ').unwrap_or((rest, ""));
                if pattern
                    .as_ref()
                    .is_some_and(|pattern| !pattern.is_match(line))
                {
                    return None;
                }
                Some(Map::from_iter([
                    ("container".into(), container.trim().to_owned().into()),
                    ("time".into(), time.to_owned().into()),
                    ("line".into(), line.to_owned().into()),
                ]))
            })
            .collect())
    }
}
