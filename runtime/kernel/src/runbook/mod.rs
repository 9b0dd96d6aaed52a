//! Runbook files: what can be known of one without running it.

mod header;
mod literal;
pub mod params;
mod tokens;
pub mod trigger;

use std::path::{Path, PathBuf};

use rhai::{AST, Engine, OptimizationLevel, Token};

pub use header::{Header, Limits};
pub use literal::{Entry, Literal, LiteralValue};
pub use params::{
    ENVIRONMENT_PREFIX, ParamKind, ParamSource, ParamSources, ParamSpec, ResolvedParams,
    parse_value, resolve,
};
pub use tokens::{StepBody, step_bodies};
pub use trigger::{Trigger, TriggerSource};

use crate::error::{Error, Result};
use crate::script_error;
use crate::value::closest;

/// The greatest file that is read.
pub const MAX_SIZE: u64 = 4 * 1024 * 1024;

/// How deep expressions may be nested. Deeper ones would need more stack than a thread has.
pub const MAX_NESTING: usize = 64;

/// A runbook, or a module of one: it has no header then.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// The file, or a name such as `-e`.
    pub path: PathBuf,
    /// The text, as the interpreter takes it: without a byte order mark, and with a `#!` line made
    /// a comment. Every line and column is as in the file.
    pub source: String,
    /// The header, if there is one.
    pub header: Option<Header>,
    /// The `//!` comment.
    pub doc: String,
    /// Its first sentence.
    pub summary: String,
}

/// Read a runbook from a file.
///
/// # Errors
/// `runbook.not_found`, `runbook.unreadable`, `runbook.too_large`, and those of [`parse`].
pub fn load(path: impl AsRef<Path>) -> Result<Runbook> {
    let path = path.as_ref();
    let shown = path.display();
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => not_found(path),
        std::io::ErrorKind::PermissionDenied => Error::new(
            "runbook.unreadable",
            format!("{shown} can't be read: permission denied"),
        )
        .hint(format!("check its owner and mode: `ls -l {shown}`")),
        _ => Error::new(
            "runbook.unreadable",
            format!("{shown} can't be read: {error}"),
        ),
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Error::new(
            "runbook.unreadable",
            format!("{shown} is a folder, not a runbook"),
        )
        .hint(format!(
            "name a file: `ccrun {}`",
            path.join("NAME.rhai").display()
        )));
    }
    if metadata.len() > MAX_SIZE {
        return Err(too_large(&shown.to_string(), metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let source = text(&shown.to_string(), bytes)?;
    parse(path, source)
}

/// Read a runbook from its text. `name` stands in error messages.
///
/// # Errors
/// `runbook.empty`, `runbook.too_large`, `syntax`, and what the header says: `header.not_first`,
/// `header.twice`, `header.not_literal`, `header.unknown_key`, `header.invalid`, `header.param`,
/// `header.needs`.
pub fn parse(name: impl AsRef<Path>, source: impl Into<String>) -> Result<Runbook> {
    let path = name.as_ref().to_owned();
    let name = path.display().to_string();
    let source = presentable(source.into());
    if source.len() as u64 > MAX_SIZE {
        return Err(too_large(&name, source.len() as u64));
    }
    if source.contains('\0') {
        return Err(not_text(&name, source.as_bytes()));
    }
    let ast = syntax_tree(&name, &source)?;
    if ast.statements().is_empty() && !ast.has_functions() {
        return Err(Error::new("runbook.empty", format!("{name} is empty"))
            .hint("`ccrun new NAME` writes one to begin with"));
    }
    let header = header::read(&ast, &name)?;
    let doc = documentation(&ast);
    let described = header
        .as_ref()
        .and_then(|header| header.description.clone());
    let summary = first_sentence(if doc.is_empty() {
        described.as_deref().unwrap_or_default()
    } else {
        &doc
    });
    Ok(Runbook {
        path,
        source,
        header,
        doc,
        summary,
    })
}

/// The syntax tree as it is written: nothing is folded away, nothing is looked up.
///
/// # Errors
/// `syntax` with the position.
pub fn syntax_tree(name: &str, source: &str) -> Result<AST> {
    let mut engine = Engine::new_raw();
    free_words(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_expr_depths(MAX_NESTING, MAX_NESTING);
    engine
        .compile(source)
        .map_err(|error| script_error::syntax(&error, name))
}

/// The words that Rhai reserves without using them, and that are the names of real things: the
/// `default` of a parameter, a Docker `package`, the `new` row of a change.
const FREED_WORDS: [&str; 15] = [
    "case",
    "debug",
    "default",
    "new",
    "package",
    "protected",
    "public",
    "shared",
    "spawn",
    "static",
    "sync",
    "thread",
    "use",
    "with",
    "match",
];

/// Let scripts use as names what Rhai reserves for nothing: `#{ default: "7d" }`, `row.new`. Every
/// engine that reads scripts needs this, or it refuses what the others take.
pub fn free_words(engine: &mut Engine) {
    #[allow(
        deprecated,
        reason = "not deprecated but marked as volatile; the version is pinned"
    )]
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word) if FREED_WORDS.contains(&word.as_str()) => Token::Identifier(word),
        token => token,
    });
}

fn not_found(path: &Path) -> Error {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let error = Error::new(
        "runbook.not_found",
        format!("there is no runbook {}", path.display()),
    );
    let Ok(entries) = std::fs::read_dir(folder) else {
        return error.hint(format!("there is no folder {}", folder.display()));
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".rhai"))
        .collect();
    names.sort_unstable();
    let wanted = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let wanted = wanted.trim_end_matches(".rhai");
    let stems = names.iter().map(|name| name.trim_end_matches(".rhai"));
    let shown = |stem: &str| {
        path.with_file_name(format!("{stem}.rhai"))
            .display()
            .to_string()
    };
    error.hint(match closest(wanted, stems) {
        Some(nearest) => format!("did you mean {}?", shown(nearest)),
        None => "`ccrun list` shows those that there are".to_owned(),
    })
}

fn too_large(name: &str, length: u64) -> Error {
    let (length, most) = (
        crate::value::Size::from(length),
        crate::value::Size::from(MAX_SIZE),
    );
    Error::new(
        "runbook.too_large",
        format!("{name} has {length}; a runbook has {most} at most"),
    )
    .hint("data belongs into a file of its own, which the runbook reads")
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String> {
    if bytes.contains(&0) {
        return Err(not_text(name, &bytes));
    }
    String::from_utf8(bytes).map_err(|error| not_text(name, error.as_bytes()))
}

fn not_text(name: &str, bytes: &[u8]) -> Error {
    let what = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Error::new("runbook.not_text", format!("{name} is UTF-16, not UTF-8"))
                .hint("save it as UTF-8");
        }
        [0x7f, b'E', b'L', b'F', ..] => "it is a program",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "it is a compressed file"
        }
        _ if bytes.contains(&0) => "it is a binary file",
        _ => {
            let valid = std::str::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), str::len);
            let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            return Error::new(
                "runbook.not_text",
                format!("{name} is not UTF-8 (line {line})"),
            )
            .hint("save it as UTF-8");
        }
    };
    Error::new(
        "runbook.not_text",
        format!("{name} is not a runbook: {what}"),
    )
    .hint("a runbook is a text file; check the name")
}

/// Without what editors and shells put in front.
fn presentable(mut source: String) -> String {
    if source.starts_with('\u{feff}') {
        source.drain(..'\u{feff}'.len_utf8());
    }
    if source.starts_with("#!") {
        // Not `///`, which would be documentation.
        source.replace_range(..2, "//");
        if source.starts_with("///") {
            source.replace_range(2..3, " ");
        }
    }
    source
}

fn documentation(ast: &AST) -> String {
    let lines = ast.doc().lines().map(|line| {
        let line = line.trim_start_matches("//!");
        line.strip_prefix(' ').unwrap_or(line).trim_end()
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Up to the first full stop that ends a word, or the first empty line.
fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let end = words.iter().position(|word| {
        word.ends_with(['.', '!', '?']) && !matches!(*word, "e.g." | "i.e." | "etc." | "vs.")
    });
    words[..end.map_or(words.len(), |end| end + 1)].join(" ")
}

#[cfg(test)]
mod tests;
