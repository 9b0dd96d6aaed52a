//! A Docker engine for tests: a tiny image, and things that go away by themselves.
#![allow(
    clippy::disallowed_methods,
    reason = "a helper of tests, which starts programs and is no primitive"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What starts an engine where none runs.
const START: &str = "start it: tests/testbed/up --no-stack";

/// Run the Docker CLI, which must succeed.
///
/// # Panics
/// With what it says, if it does not.
#[must_use]
pub fn docker(arguments: &[&str]) -> String {
    docker_with(&[], arguments)
}

/// The same with variables of its own: `--env NAME` then takes a value that no command line shows.
///
/// # Panics
/// With what it says, if it does not.
#[must_use]
pub fn docker_with(variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = run(variables, arguments);
    assert!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a container has written, on both of its streams.
#[must_use]
pub fn logs(container: &str) -> String {
    let output = run(&[], &["logs", container]);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new("docker")
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("there is no Docker CLI ({error}); {START}"))
}

/// A tiny image with a shell, a web server and the usual small programs: busybox. Made once.
///
/// # Panics
/// If there is no engine, or no busybox.
#[must_use]
pub fn image() -> &'static str {
    static IMAGE: OnceLock<&str> = OnceLock::new();
    IMAGE.get_or_init(|| {
        const NAME: &str = "ccrun-test/busybox:1";
        let info = run(&[], &["info", "--format", "{{.ServerVersion}}"]);
        assert!(
            info.status.success(),
            "no Docker engine answers: {}\n{START}",
            String::from_utf8_lossy(&info.stderr)
        );
        if !run(&[], &["image", "inspect", NAME]).status.success() {
            import(NAME);
        }
        NAME
    })
}

fn import(name: &str) {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| panic!("there is no busybox: apt-get install busybox-static"));
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(&bin).expect("bin");
    std::fs::create_dir_all(folder.path().join("tmp")).expect("tmp");
    std::fs::copy(busybox, bin.join("busybox")).expect("busybox");
    let applets = Command::new(busybox)
        .arg("--list")
        .output()
        .expect("its applets");
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        if applet != "busybox" {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link");
        }
    }
    let tar = folder.path().join("root.tar");
    let packed = Command::new("tar")
        .args(["-C", &folder.path().display().to_string(), "-cf"])
        .arg(&tar)
        .args(["bin", "tmp"])
        .status()
        .expect("tar");
    assert!(packed.success());
    // Another test may do the same at this moment: the name then points to one of two equal images.
    let _id = docker(&[
        "import",
        "--change",
        "ENV PATH=/bin",
        "--change",
        "CMD [\"sh\"]",
        &tar.display().to_string(),
        name,
    ]);
}

/// A Compose project in a folder of its own, under a name of its own; taken down when it is dropped.
pub struct ComposeProject {
    /// The name.
    pub name: String,
    folder: tempfile::TempDir,
}

impl ComposeProject {
    /// A project with this file, in which `IMAGE` stands for [`image`].
    ///
    /// # Panics
    /// If there is no engine.
    #[must_use]
    pub fn new(file: &str) -> Self {
        let project = Self {
            name: format!("ccrun-test-{}", uuid()),
            folder: tempfile::tempdir().expect("a folder"),
        };
        project.write(file);
        project
    }

    /// Change the file.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, file: &str) {
        let text = format!("name: {}\n{}", self.name, file.replace("IMAGE", image()));
        std::fs::write(self.path("compose.yml"), text).expect("compose.yml");
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The ids of its containers.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let mut ids: Vec<String> =
            docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
                .lines()
                .map(str::to_owned)
                .collect();
        ids.sort();
        ids
    }
}

impl Drop for ComposeProject {
    fn drop(&mut self) {
        remove_labelled(&format!("label=com.docker.compose.project={}", self.name));
    }
}

/// Remove containers, networks and volumes with this label.
pub(crate) fn remove_labelled(label: &str) {
    for (list, remove) in [
        (vec!["ps", "-aq", "--filter", label], vec!["rm", "-fv"]),
        (
            vec!["network", "ls", "-q", "--filter", label],
            vec!["network", "rm"],
        ),
        (
            vec!["volume", "ls", "-q", "--filter", label],
            vec!["volume", "rm", "-f"],
        ),
    ] {
        let found = run(&[], &list);
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let ids: Vec<&str> = text.lines().collect();
        if !ids.is_empty() {
            let mut arguments = remove;
            arguments.extend(ids);
            run(&[], &arguments);
        }
    }
}

/// Containers of one test under names of their own; removed when it is dropped.
pub struct Containers {
    /// What their names begin with.
    pub name: String,
}

impl Containers {
    /// None yet.
    ///
    /// # Panics
    /// If there is no engine.
    #[must_use]
    pub fn new() -> Self {
        let _ = image();
        Self {
            name: format!("ccrun-test-{}", uuid()),
        }
    }

    /// The label that all of the test's things have.
    #[must_use]
    pub fn label(&self) -> String {
        format!("ccrun.test.name={}", self.name)
    }

    /// Start a container of the tiny image: `docker run --detach OPTIONS IMAGE COMMAND`. Returns its name.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn run(&self, name: &str, options: &[&str], command: &[&str]) -> String {
        self.run_image(name, image(), options, command)
    }

    /// The same of another image.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn run_image(&self, name: &str, image: &str, options: &[&str], command: &[&str]) -> String {
        let name = format!("{}-{name}", self.name);
        let label = self.label();
        let mut arguments = vec![
            "run",
            "--detach",
            "--name",
            &name,
            "--label",
            "ccrun.test=docker",
            "--label",
            &label,
        ];
        arguments.extend(options);
        arguments.push(image);
        arguments.extend(command);
        let _id = docker(&arguments);
        name
    }

    /// Where a port of a container is published.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn port(&self, name: &str, port: u16) -> std::net::SocketAddr {
        let published = docker(&["port", name, &format!("{port}/tcp")]);
        let first = published.lines().next().unwrap_or_default();
        first
            .parse()
            .unwrap_or_else(|_| panic!("{name} publishes no port {port}"))
    }

    /// Wait until a container is in this state.
    ///
    /// # Panics
    /// If it is not within 30 seconds.
    pub fn wait_for_state(&self, name: &str, state: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while docker(&["inspect", "--format", "{{.State.Status}}", name]) != state {
            assert!(
                std::time::Instant::now() < deadline,
                "{name} does not become {state}"
            );
        }
    }
}

impl Default for Containers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        remove_labelled(&format!("label={}", self.label()));
    }
}

/// A name that no other test has.
fn uuid() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", std::process::id())
}
