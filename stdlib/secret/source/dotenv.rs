//! `.env` files, as Compose reads them
//! (<https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/>).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::{BoxFuture, Error, Result};

/// A `.env` file, read once.
pub struct EnvFile {
    path: PathBuf,
    values: BTreeMap<String, String>,
    mode: u32,
}

impl EnvFile {
    /// Read the file, if it is there.
    ///
    /// # Errors
    /// `secret.env_file` naming the file and line, never the text.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let failed =
            |why: String| Error::new("secret.env_file", format!("{}: {why}", path.display()));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(format!("can't be read: {error}"))),
        };
        let mode = std::fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
        let values = parse(&text).map_err(|(line, why)| {
            failed(format!("line {line}: {why}"))
                .hint("a line is `NAME=value`, a comment begins with `#`")
        })?;
        Ok(Some(Self {
            path: path.to_owned(),
            values,
            mode,
        }))
    }

    /// That others can read it, if they can.
    pub fn warning(&self) -> Option<String> {
        (self.mode & 0o077 != 0).then(|| {
            format!(
                "{} can be read by others (mode {:04o}): `chmod 600 {}`",
                self.path.display(),
                self.mode,
                self.path.display()
            )
        })
    }
}

impl SecretSource for EnvFile {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { Ok(self.values.get(name).filter(|v| !v.is_empty()).cloned()) })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(self.values.keys().cloned().collect()) })
    }
}

/// The assignments of a file, or the line that is none and why.
fn parse(text: &str) -> std::result::Result<BTreeMap<String, String>, (usize, &'static str)> {
    let mut values = BTreeMap::new();
    let mut lines = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why| (number + 1, why);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, rest) = line.split_once('=').ok_or_else(|| at("there is no `=`"))?;
        let name = name.trim();
        let named = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if !named {
            return Err(at("what stands before the `=` is no name"));
        }
        let rest = rest.trim_start();
        let value = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let mut body = rest[1..].to_owned();
                loop {
                    match closing(&body, quote) {
                        Some(end) => {
                            let after = body[end + 1..].trim();
                            if !after.is_empty() && !after.starts_with('#') {
                                return Err(at("something follows the closing quote"));
                            }
                            body.truncate(end);
                            break;
                        }
                        None => {
                            let (_, next) = lines
                                .next()
                                .ok_or_else(|| at("a quote is opened and not closed"))?;
                            body.push('\n');
                            body.push_str(next);
                        }
                    }
                }
                if quote == '"' { unescape(&body) } else { body }
            }
            _ => rest
                .find(" #")
                .map_or(rest, |comment| &rest[..comment])
                .trim_end()
                .to_owned(),
        };
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// Where the quote is closed.
fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unescape(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(other @ ('"' | '\\' | '$')) => out.push(other),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_compose_reads_them() {
        let text = "# comment\nA=1\nexport B = two words # why\nC='$literal #'\nD=\"a\\nb \\\"q\\\"\" # c\nE=\nF=\"two\nlines\"\nG=x#y\n";
        let values = parse(text).expect("parses");
        let get = |name: &str| values.get(name).map(String::as_str);
        assert_eq!(get("A"), Some("1"));
        assert_eq!(get("B"), Some("two words"));
        assert_eq!(get("C"), Some("$literal #"));
        assert_eq!(get("D"), Some("a\nb \"q\""));
        assert_eq!(get("E"), Some(""));
        assert_eq!(get("F"), Some("two\nlines"));
        assert_eq!(get("G"), Some("x#y"));
    }

    #[test]
    fn a_bad_line_is_named_without_its_text() {
        assert_eq!(parse("A=1\nhunter2"), Err((2, "there is no `=`")));
        assert_eq!(parse("A='x"), Err((1, "a quote is opened and not closed")));
        assert_eq!(
            parse("A=\"x\" y"),
            Err((1, "something follows the closing quote"))
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let file = EnvFile::open(&path).expect("opens").expect("is there");
        assert!(file.warning().expect("a warning").contains("mode 0644"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(
            EnvFile::open(&path)
                .expect("opens")
                .expect("is there")
                .warning(),
            None
        );
    }
}
