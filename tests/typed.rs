//! A test that reads as what a person types and sees.
//!
//! ```no_run
//! use ccrun_tests::typed::Story;
//!
//! Story::new()
//!     .file("a.rhai", "print(\"hello\");")
//!     .types("ccrun a.rhai")
//!     .prints("hello")
//!     .exits(0);
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A scratch folder in which somebody works.
pub struct Story {
    folder: tempfile::TempDir,
}

/// What came of one command.
pub struct Seen {
    line: String,
    output: Output,
}

impl Default for Story {
    fn default() -> Self {
        Self::new()
    }
}

impl Story {
    /// An empty folder, which is also the home.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a scratch folder"),
        }
    }

    /// With a file in it.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self
    }

    /// Write a file.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of the file");
        std::fs::write(path, text).expect("the file");
    }

    /// The text of a file, empty if it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command of a line such as `ccrun a.rhai --param x=1`, with nobody at the terminal.
    ///
    /// # Panics
    /// If it does not begin with `ccrun`.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("ccrun"), "a line begins with ccrun");
        let mut command = Command::new(binary());
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("USER", "operator")
            .stdin(Stdio::null());
        // Where the Docker CLI has its plugins; the home is another one here.
        if let Some(home) = std::env::var_os("HOME") {
            command.env("DOCKER_CONFIG", Path::new(&home).join(".docker"));
        }
        command
    }

    /// Type a line and wait.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn types(&self, line: &str) -> Seen {
        let output = self.command(line).output().expect("ccrun starts");
        Seen {
            line: line.to_owned(),
            output,
        }
    }

    /// Type a line and do not wait.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn starts(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("ccrun starts")
    }

    /// The answer of a command that prints JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self, line: &str) -> serde_json::Value {
        let seen = self.types(&format!("{line} --output json"));
        serde_json::from_slice(&seen.output.stdout)
            .unwrap_or_else(|error| panic!("{line}: {error}\n{}", seen.text()))
    }
}

impl Seen {
    /// The status that it ended with; -1 where a signal ended it.
    #[must_use]
    pub fn status(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    /// It ended with this status.
    ///
    /// # Panics
    /// If it did not.
    pub fn exits(&self, status: i32) -> &Self {
        assert_eq!(
            self.output.status.code(),
            Some(status),
            "{}\n{}",
            self.line,
            self.text()
        );
        self
    }

    /// Standard output has this in it.
    ///
    /// # Panics
    /// If it has not.
    pub fn prints(&self, text: &str) -> &Self {
        let out = String::from_utf8_lossy(&self.output.stdout);
        assert!(
            out.contains(text),
            "{}: no {text:?} in\n{}",
            self.line,
            self.text()
        );
        self
    }

    /// Standard error has this in it.
    ///
    /// # Panics
    /// If it has not.
    pub fn says(&self, text: &str) -> &Self {
        let said = String::from_utf8_lossy(&self.output.stderr);
        assert!(
            said.contains(text),
            "{}: no {text:?} in\n{}",
            self.line,
            self.text()
        );
        self
    }

    /// This is nowhere to be seen.
    ///
    /// # Panics
    /// If it is.
    pub fn hides(&self, text: &str) -> &Self {
        assert!(
            !self.text().contains(text),
            "{}: {text:?} in\n{}",
            self.line,
            self.text()
        );
        self
    }

    /// Everything that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}\n{}",
            String::from_utf8_lossy(&self.output.stdout),
            String::from_utf8_lossy(&self.output.stderr)
        )
    }
}

/// The binary under test, beside the test's own.
fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let folder = test.ancestors().nth(2).unwrap_or(Path::new("."));
    let binary = folder.join("ccrun");
    assert!(
        binary.is_file(),
        "{} is not there: build it first, `cargo build -p ccrun`",
        binary.display()
    );
    binary
}
