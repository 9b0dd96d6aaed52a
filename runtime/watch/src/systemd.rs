//! What systemd is told (sd_notify(3)), and the unit that starts the daemon.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager(Option<UnixDatagram>);

impl Manager {
    /// The one that `NOTIFY_SOCKET` names.
    #[must_use]
    pub fn find() -> Self {
        let path = std::env::var("NOTIFY_SOCKET")
            .ok()
            .filter(|path| !path.is_empty());
        Self(path.and_then(|path| connect(&path).ok()))
    }

    /// Tell it something: `READY=1`, `STATUS=…`. Nobody may be listening; that is no error.
    pub fn tell(&self, state: &str) {
        if let Some(socket) = &self.0 {
            drop(socket.send(state.as_bytes()));
        }
    }

    /// How often it wants to hear that the daemon is alive: half of what it waits
    /// (sd_watchdog_enabled(3)).
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?;
        let for_us = std::env::var("WATCHDOG_PID")
            .ok()
            .is_none_or(|pid| pid == std::process::id().to_string());
        let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        (for_us && micros > 0).then(|| Duration::from_micros(micros / 2))
    }
}

fn connect(path: &str) -> std::io::Result<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What goes into the unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// The program.
    pub program: String,
    /// Where `ccrun.toml` is.
    pub folder: String,
    /// Where the journal is kept.
    pub state: String,
    /// The user it runs as.
    pub user: String,
    /// The target, if one was named.
    pub target: Option<String>,
    /// Whether changes to protected targets are made without asking.
    pub yes: bool,
    /// Seconds that runs get to end.
    pub grace: u64,
}

impl Unit {
    /// The text of the unit, systemd.service(5) and systemd.exec(5). What runs may touch is held
    /// down by each runbook's own `needs`; the unit takes away what no runbook should need.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            program,
            folder,
            state,
            user,
            ..
        } = self;
        let target = self
            .target
            .as_ref()
            .map(|name| format!(" --target {}", quoted(name)))
            .unwrap_or_default();
        let yes = if self.yes { " --yes" } else { "" };
        format!(
            "# Written by `ccrun watch install`. Change it with `systemctl edit ccrun-watch`.
[Unit]
Description=ccrun: triggers of the runbooks in {folder}
Documentation=man:systemd.service(5)
After=network-online.target docker.service
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
User={user}
WorkingDirectory={folder}
ExecStart={program} watch{target}{yes}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
WatchdogSec=60
# Runs get their grace time; what is left after it is stopped.
KillMode=mixed
TimeoutStopSec={stop}
# The passwords of the runbooks, CCRUN_PARAM_… and the like; not needed if there are none.
EnvironmentFile=-/etc/ccrun/environment

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={folder} -{state}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
AmbientCapabilities=
UMask=0077

[Install]
WantedBy=multi-user.target
",
            program = quoted(program),
            folder = escaped(folder),
            state = escaped(state),
            stop = self.grace + 15,
        )
    }
}

/// systemd.syntax(7): `%` begins a specifier, a space ends a word.
fn escaped(text: &str) -> String {
    text.replace('%', "%%").replace(' ', "\\x20")
}

fn quoted(text: &str) -> String {
    if text.contains([' ', '"', '\\', '%', '$']) {
        let inner = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", inner.replace('%', "%%").replace('$', "$$"))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = Manager(Some(connect(path.to_str().unwrap()).unwrap()));
        manager.tell("READY=1");
        let mut buffer = [0; 64];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        drop(listener);
        manager.tell("STATUS=nobody listens any more");
        Manager::default().tell("READY=1");
    }

    #[test]
    fn a_unit_quotes_what_it_is_given() {
        let unit = Unit {
            program: "/opt/my tools/ccrun".to_owned(),
            folder: "/srv/100% ops".to_owned(),
            state: "/srv/100% ops/.ccrun".to_owned(),
            user: "ops".to_owned(),
            target: Some("production".to_owned()),
            yes: false,
            grace: 30,
        };
        let text = unit.text();
        assert!(text.contains("ExecStart=\"/opt/my tools/ccrun\" watch --target production\n"));
        assert!(text.contains("WorkingDirectory=/srv/100%%\\x20ops\n"));
        assert!(text.contains("TimeoutStopSec=45\n"));
    }
}
