//! The process of one run: started, told to stop, waited for.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::journal::Process;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Why a run was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It took too long.
    Timeout,
    /// A later firing takes its place.
    Replaced,
    /// The daemon ends.
    Shutdown,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its status, if it ended by itself and somebody heard of it.
    pub code: Option<i32>,
    /// For people.
    pub text: String,
    /// Why it was told to stop, if it was.
    pub stopped: Option<StopReason>,
}

/// How long a process that was told to stop may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where lines of a run's output go.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A process that is ready and waits on its standard input to be told what to run: starting a program
/// takes longer than everything else between a change and the first line of a runbook. It ends by
/// itself when its standard input is closed, so also when the daemon is killed.
#[derive(Debug)]
pub struct Spare(Child);

impl Spare {
    /// Start one.
    pub fn start(command: std::process::Command) -> Option<Self> {
        let mut command = prepared(command);
        command.stdin(Stdio::piped());
        command.spawn().ok().map(Self)
    }

    /// Tell it what to run; `None` if it is gone.
    async fn told(mut self, line: &str) -> Option<Child> {
        let mut input = self.0.stdin.take()?;
        let written =
            tokio::time::timeout(Duration::from_secs(1), input.write_all(line.as_bytes()));
        written.await.ok()?.ok()?;
        Some(self.0)
    }
}

fn prepared(command: std::process::Command) -> Command {
    let mut command = Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on the daemon's terminal is for the daemon, which lets its runs finish.
        .process_group(0);
    command
}

/// How a run gets its process.
pub struct Start {
    /// A process that waits, and the line to tell it.
    pub spare: Option<(Spare, String)>,
    /// The command, if there is none.
    pub command: std::process::Command,
}

impl Start {
    async fn child(self) -> std::io::Result<Child> {
        if let Some((spare, line)) = self.spare
            && let Some(child) = spare.told(&line).await
        {
            return Ok(child);
        }
        prepared(self.command).spawn()
    }
}

/// Run a process to its end.
pub async fn run(
    start: Start,
    timeout: Option<Duration>,
    mut stops: mpsc::UnboundedReceiver<StopReason>,
    say: Say,
) -> Exit {
    let mut child = match start.child().await {
        Ok(child) => child,
        Err(error) => {
            return Exit {
                code: None,
                text: format!("its process can't be started: {error}"),
                stopped: None,
            };
        }
    };
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let printing = [
        child
            .stdout
            .take()
            .map(|out| tokio::spawn(lines(out, Arc::clone(&say)))),
        child.stderr.take().map(|out| tokio::spawn(lines(out, say))),
    ];
    let too_long = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(too_long);
    let mut stopped = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(reason) = stops.recv(), if stopped.is_none() => stopped = Some(reason),
            () = &mut too_long, if stopped.is_none() => stopped = Some(StopReason::Timeout),
        }
        let Some(group) = group else { continue };
        // The run itself first: it stops what it started in good order.
        let _ = kill_process(group, Signal::TERM);
        tokio::select! {
            status = child.wait() => break status,
            () = tokio::time::sleep(PATIENCE) => drop(kill_process_group(group, Signal::KILL)),
        }
    };
    for task in printing.into_iter().flatten() {
        // What it started may hold its output open.
        drop(tokio::time::timeout(Duration::from_millis(200), task).await);
    }
    match status {
        Ok(status) => Exit {
            code: status.code(),
            text: match (status.code(), status.signal()) {
                (Some(code), _) => format!("its process ended with status {code}"),
                (None, Some(signal)) => format!("its process was killed by signal {signal}"),
                (None, None) => "its process ended".to_owned(),
            },
            stopped,
        },
        Err(error) => Exit {
            code: None,
            text: format!("its process was lost: {error}"),
            stopped,
        },
    }
}

/// Wait for the process of a run that another daemon started.
pub async fn adopt(process: Process, mut stops: mpsc::UnboundedReceiver<StopReason>) -> Exit {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let mut stopped = None;
    let mut killed_at = None;
    let mut look = tokio::time::interval(Duration::from_millis(250));
    while process.is_alive() == Some(true) {
        tokio::select! {
            _ = look.tick() => {}
            Some(reason) = stops.recv(), if stopped.is_none() => {
                stopped = Some(reason);
                killed_at = Some(tokio::time::Instant::now() + PATIENCE);
                if let Some(pid) = pid {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
        if let (Some(at), Some(pid)) = (killed_at, pid)
            && tokio::time::Instant::now() >= at
        {
            let _ = kill_process_group(pid, Signal::KILL);
            killed_at = None;
        }
    }
    Exit {
        code: None,
        text: "its process is gone".to_owned(),
        stopped,
    }
}

/// A line is cut here, so that a run without line ends does not fill the memory.
const LONGEST: usize = 8 * 1024;

async fn lines(out: impl AsyncRead + Unpin, say: Say) {
    let mut reader = BufReader::new(out);
    let mut line = Vec::new();
    loop {
        let available = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => bytes,
        };
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        let room = LONGEST.saturating_sub(line.len());
        line.extend(&available[..taken.min(room)]);
        reader.consume(taken);
        if end.is_some() {
            say(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    if !line.is_empty() {
        say(String::from_utf8_lossy(&line).trim_end());
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    fn shell(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    }

    async fn ended(script: &str, timeout: Option<Duration>) -> (Exit, Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&said);
        let (_stop, stops) = mpsc::unbounded_channel();
        let say: Say = Arc::new(move |line: &str| to.lock().push(line.to_owned()));
        let start = Start {
            spare: None,
            command: shell(script),
        };
        let exit = run(start, timeout, stops, say).await;
        let said = said.lock().clone();
        (exit, said)
    }

    #[tokio::test]
    async fn how_a_process_ended_is_told() {
        let (exit, said) = ended("echo one; echo two >&2; printf three; exit 3", None).await;
        assert_eq!((exit.code, exit.stopped), (Some(3), None));
        let mut said = said;
        said.sort();
        assert_eq!(said, ["one", "three", "two"]);
        let (exit, _) = ended("kill -9 $$", None).await;
        assert_eq!(exit.text, "its process was killed by signal 9");
        let (exit, said) = ended("head -c 100000 /dev/zero | tr '\\0' x", None).await;
        assert_eq!((exit.code, said[0].len()), (Some(0), LONGEST));
    }

    #[tokio::test]
    async fn a_process_that_waits_is_told_what_to_run() {
        let told = async |spare: &str| {
            let said = Arc::new(Mutex::new(Vec::new()));
            let to = Arc::clone(&said);
            let say: Say = Arc::new(move |line: &str| to.lock().push(line.to_owned()));
            let start = Start {
                spare: Spare::start(shell(spare)).map(|spare| (spare, "one two\n".to_owned())),
                command: shell("echo started"),
            };
            let (_stop, stops) = mpsc::unbounded_channel();
            let exit = run(start, None, stops, say).await;
            assert_eq!(exit.code, Some(0));
            said.lock().clone()
        };
        assert_eq!(told("read a b; echo $b $a").await, ["two one"]);
        // Nobody tells it anything: it ends with its standard input.
        let mut spare = Spare::start(shell("read a; exit 7")).unwrap();
        drop(spare.0.stdin.take());
        assert_eq!(spare.0.wait().await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn a_process_that_takes_too_long_is_stopped() {
        let (exit, _) = ended(
            "trap 'exit 130' TERM; sleep 60 & wait",
            Some(Duration::from_millis(200)),
        )
        .await;
        assert_eq!(
            (exit.code, exit.stopped),
            (Some(130), Some(StopReason::Timeout))
        );
    }

    #[tokio::test]
    async fn a_process_of_another_daemon_is_waited_for() {
        let mut child = shell("sleep 60").spawn().unwrap();
        let process = {
            let me = Process::current();
            Process {
                pid: child.id(),
                pid_start: 0,
                ..me
            }
        };
        let (stop, stops) = mpsc::unbounded_channel();
        stop.send(StopReason::Replaced).unwrap();
        let exit = adopt(process, stops).await;
        assert_eq!(exit.stopped, Some(StopReason::Replaced));
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    }
}
