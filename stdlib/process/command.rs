//! A program with its arguments, as scripts write it: `["rsync", "-a", source, "host:/srv"]`.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use ccrun_kernel::rhai::{Array, Dynamic};
use ccrun_kernel::secret::{Redactor, Secret};
use ccrun_kernel::value::{Duration, Size, Timestamp};
use ccrun_kernel::{Error, FromArg, Mismatch, Result};

use crate::files::folder_of_run;

/// A program and its arguments. No shell reads it.
#[derive(Debug, Clone)]
pub struct CommandLine {
    words: Vec<String>,
    /// The position of a secret among them.
    secret: Option<usize>,
}

impl CommandLine {
    /// A command that ccrun itself makes.
    #[must_use]
    pub fn new(words: Vec<String>) -> Self {
        Self {
            words,
            secret: None,
        }
    }

    /// The same with what a script adds.
    ///
    /// # Errors
    /// `argument.type` for what has no plain text.
    pub fn with_arguments(mut self, arguments: Array) -> Result<Self> {
        for argument in arguments {
            if argument.is::<Secret>() {
                self.secret = self.secret.or(Some(self.words.len()));
                self.words.push(String::new());
                continue;
            }
            let text = word(argument).map_err(|mismatch| {
                Error::new(
                    "argument.type",
                    format!("an argument of `{}`: {mismatch}", self.program()),
                )
            })?;
            self.words.push(text);
        }
        Ok(self)
    }

    /// The program as it is written.
    #[must_use]
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The arguments.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The permission's resource: the name of the program, or its absolute path where the script gives
    /// a path.
    #[must_use]
    pub fn resource(&self) -> String {
        let program = self.program();
        if !program.contains('/') {
            return program.to_owned();
        }
        let folder = folder_of_run().unwrap_or_else(|_| "/".into());
        program_path(program, &folder).display().to_string()
    }

    /// Refuse arguments that would show a secret to everyone on the machine, by the process list.
    ///
    /// # Errors
    /// `sh.secret_argument`
    pub fn check(&self, redactor: &Redactor) -> Result<()> {
        let holds_known = |word: &String| redactor.redact(word) != word.as_str();
        match self.secret.or_else(|| self.words.iter().position(holds_known)) {
            None => Ok(()),
            Some(position) => Err(Error::new(
                "sh.secret_argument",
                format!(
                    "argument {position} of `{}` is a secret: arguments are visible to everyone on the machine (`ps`)",
                    self.program()
                ),
            )
            .hint("hand it over with `#{ env: #{ NAME: … } }` or `#{ stdin: … }`; most programs also read a file")),
        }
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match self.secret == Some(index) {
                true => f.write_str("‹secret›")?,
                false => f.write_str(&quote(word))?,
            }
        }
        Ok(())
    }
}

impl FromArg for CommandLine {
    fn type_name() -> String {
        "array".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_string() {
            return Err(Mismatch::Value(
                "a command is an array, [\"program\", \"argument\"]; a line for the shell goes to `sh::script`".into(),
            ));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        let items = value.try_cast::<Array>().ok_or(mismatch)?;
        let mut secret = None;
        let mut words = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if item.is::<Secret>() {
                secret = secret.or(Some(index));
                words.push(String::new());
                continue;
            }
            words.push(word(item).map_err(|m| m.inside(format!("[{index}]")))?);
        }
        match words.first() {
            None => Err(Mismatch::Value(
                "a command has at least its program: [\"program\"]".into(),
            )),
            Some(program) if program.is_empty() && secret != Some(0) => {
                Err(Mismatch::Value("the name of the program is empty".into()))
            }
            Some(_) => Ok(Self { words, secret }),
        }
    }
}

/// The text of an argument, where it is plain what that is.
///
/// # Errors
/// What does not fit.
pub fn word(value: Dynamic) -> Result<String, Mismatch> {
    fn text<T: ToString + Clone + 'static>(value: &Dynamic) -> Option<String> {
        value.read_lock::<T>().map(|value| value.to_string())
    }
    let text = if value.is_string() {
        String::from_arg(value)?
    } else if value.is_int()
        || value.is_bool()
        || value.is_float()
        || value.is_decimal()
        || value.is_char()
    {
        value.to_string()
    } else if let Some(size) = value.read_lock::<Size>() {
        size.bytes().to_string()
    } else if let Some(text) = text::<Duration>(&value).or_else(|| text::<Timestamp>(&value)) {
        text
    } else {
        return Err(Mismatch::of::<String>(&value));
    };
    match text.contains('\0') {
        true => Err(Mismatch::Value(
            "an argument has no NUL character in it".into(),
        )),
        false => Ok(text),
    }
}

/// The absolute path of a program that a script gives as a path. Symbolic links stay: `/bin/sh` is what
/// people permit, wherever that leads, and many a program looks at the name it is called by.
#[must_use]
pub fn program_path(program: &str, folder: &Path) -> PathBuf {
    let start = match program.strip_prefix("~/").zip(std::env::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => folder.join(program),
    };
    let mut path = PathBuf::from("/");
    for part in start.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// A word as a shell reads it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
