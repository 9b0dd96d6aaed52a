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
    warnings: Vec<String>,
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
        let mut warnings = Vec::new();
        let mode = std::fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            warnings.push(format!(
                "{path} can be read by others (mode {mode:04o}): `chmod 600 {path}`",
                path = path.display(),
            ));
        }
        let environment = |name: &str| std::env::var(name).ok();
        let parsed = parse(&text, Some(&environment)).map_err(|(line, why)| {
            failed(format!("line {line}: {why}"))
                .hint("a line is `NAME=value`, a comment begins with `#`")
        })?;
        warnings.extend(parsed.emptied.iter().map(|name| {
            format!(
                "{}: a `$` in the value of {name} names no variable and is left out, as Compose does: \
                 single quotes keep it",
                path.display()
            )
        }));
        Ok(Some(Self {
            path: path.to_owned(),
            values: parsed.values,
            warnings,
        }))
    }

    /// What the operator should know: that others can read it, that a value is not what it seems.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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

/// What a file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    /// The assignments.
    pub values: BTreeMap<String, String>,
    /// The names whose values refer to a variable that is not set.
    emptied: Vec<String>,
}

/// Where the value of a variable in a value comes from.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A line that is no assignment, and why.
type Malformed = (usize, &'static str);

/// The assignments of a text. With a `lookup`, `$NAME` and `${NAME}` in values that are not in
/// single quotes stand for it or for an earlier line; without, a `$` is a `$`.
pub(super) fn parse(
    text: &str,
    lookup: Option<Lookup<'_>>,
) -> std::result::Result<Parsed, Malformed> {
    let mut parsed = Parsed::default();
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
        let (name, rest) = line.split_once('=').ok_or_else(|| at("there is no `=`"))?;
        let name = name.strip_prefix("export").map_or(name, |rest| {
            // `exported=1` is a name of its own.
            rest.strip_prefix(char::is_whitespace).unwrap_or(name)
        });
        let name = name.trim();
        let named = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if !named {
            return Err(at("what stands before the `=` is no name"));
        }
        let (body, quote) = match rest.trim_start().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let mut body = rest.trim_start()[1..].to_owned();
                let mut searched = 0;
                let end = loop {
                    if let Some(end) = closing(&body[searched..], quote) {
                        break searched + end;
                    }
                    searched = body.len();
                    let (_, next) = lines
                        .next()
                        .ok_or_else(|| at("a quote is opened and not closed"))?;
                    body.push('\n');
                    body.push_str(next);
                };
                let after = body[end + 1..].trim();
                if !after.is_empty() && !after.starts_with('#') {
                    return Err(at("something follows the closing quote"));
                }
                body.truncate(end);
                (body, Some(quote))
            }
            _ => {
                let comment = rest.find(" #").or_else(|| rest.find("\t#"));
                (
                    rest[..comment.unwrap_or(rest.len())].trim().to_owned(),
                    None,
                )
            }
        };
        let value = if quote == Some('\'') {
            body
        } else {
            let known = |name: &str| {
                lookup.and_then(|lookup| lookup(name).or_else(|| parsed.values.get(name).cloned()))
            };
            let (value, emptied) =
                expand(&body, quote.is_some(), lookup.map(|_| &known as Lookup<'_>)).map_err(at)?;
            if emptied {
                parsed.emptied.push(name.to_owned());
            }
            value
        };
        parsed.values.insert(name.to_owned(), value);
    }
    Ok(parsed)
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

/// The value with its escapes and variables, and whether a variable was not set.
fn expand(
    body: &str,
    escapes: bool,
    lookup: Option<Lookup<'_>>,
) -> std::result::Result<(String, bool), &'static str> {
    let mut out = String::with_capacity(body.len());
    let mut emptied = false;
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let next = rest.chars().next();
        match (c, lookup) {
            ('\\', _) if escapes => {
                rest = &rest[next.map_or(0, char::len_utf8)..];
                match next {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some(plain @ ('"' | '\\' | '$')) => out.push(plain),
                    other => out.extend(['\\'].into_iter().chain(other)),
                }
            }
            ('$', Some(_)) if next == Some('$') => {
                rest = &rest[1..];
                out.push('$');
            }
            ('$', Some(lookup)) if next == Some('{') => {
                let (inside, after) = rest[1..].split_once('}').ok_or("a `${` is not closed")?;
                rest = after;
                let (name, default) = match inside.split_once('-') {
                    Some((name, default)) => (name, Some(default)),
                    None => (inside, None),
                };
                let (name, or_empty) = match name.strip_suffix(':') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                if name_at(name) != name.len() || name.is_empty() || (or_empty && default.is_none())
                {
                    return Err("a `${…}` is neither `${NAME}` nor `${NAME:-default}`");
                }
                let value = lookup(name).filter(|value| !(or_empty && value.is_empty()));
                emptied |= value.is_none() && default.is_none();
                out.push_str(value.as_deref().or(default).unwrap_or_default());
            }
            ('$', Some(lookup)) if name_at(rest) > 0 => {
                let (name, after) = rest.split_at(name_at(rest));
                rest = after;
                let value = lookup(name);
                emptied |= value.is_none();
                out.push_str(&value.unwrap_or_default());
            }
            (c, _) => out.push(c),
        }
    }
    Ok((out, emptied))
}

/// The length of the variable's name at the beginning of a text.
fn name_at(text: &str) -> usize {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.chars().next() {
        Some(first) if of_name(first) && !first.is_ascii_digit() => {
            text.find(|c| !of_name(c)).unwrap_or(text.len())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        let environment = |name: &str| (name == "SET").then(|| "from outside".to_owned());
        parse(text, Some(&environment)).expect("parses")
    }

    #[track_caller]
    fn assert_value(line: &str, value: &str) {
        assert_eq!(read(line).values.get("A").map(String::as_str), Some(value));
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        assert_value("# comment\n\nA=1", "1");
        assert_value("\u{feff}A=1\r\nB=2\r\n", "1");
        assert_value("export A = two words # why", "two words");
        assert_value("export\tA=1", "1");
        assert_value("A='$literal #'", "$literal #");
        assert_value("A=\"a\\nb \\\"q\\\"\" # c", "a\nb \"q\"");
        assert_value("A=", "");
        assert_value("A= # nothing", "");
        assert_value("A=\"two\nlines\"", "two\nlines");
        assert_value("A=\"ends in \\\\\"", "ends in \\");
        assert_value("A=x#y=z", "x#y=z");
        assert_value("A=1\nA=2", "2");
        assert_eq!(read("exported=1").values["exported"], "1");
    }

    #[test]
    fn variables_stand_for_the_environment_and_earlier_lines() {
        assert_value("A=$SET!", "from outside!");
        assert_value("B=1\nA=\"${B}2\"", "12");
        assert_value("A=${NOT:-default}-${NOT-x}", "default-x");
        assert_value("A=pa$$word \\$", "pa$word \\$");
        assert_value("A=\"\\$SET\"", "$SET");
        assert_value("A=5$ $1", "5$ $1");
    }

    #[test]
    fn a_variable_that_is_not_set_is_warned_of() {
        let parsed = read("OK='pa$word'\nBAD=pa$word");
        assert_eq!(parsed.values["BAD"], "pa");
        assert_eq!(parsed.emptied, ["BAD"]);
    }

    #[test]
    fn without_a_lookup_a_dollar_is_a_dollar() {
        let parsed = parse("A=pa$word${x", None).expect("parses");
        assert_eq!(parsed.values["A"], "pa$word${x");
    }

    #[test]
    fn a_bad_line_is_named_without_its_text() {
        let malformed = |text| parse(text, Some(&|_| None)).expect_err("malformed");
        assert_eq!(malformed("A=1\nhunter2"), (2, "there is no `=`"));
        assert_eq!(malformed("A='x"), (1, "a quote is opened and not closed"));
        assert_eq!(
            malformed("A=\"x\" y"),
            (1, "something follows the closing quote")
        );
        assert_eq!(malformed("A=${x"), (1, "a `${` is not closed"));
        assert_eq!(
            malformed("A=${x:?why}").1,
            "a `${…}` is neither `${NAME}` nor `${NAME:-default}`"
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1").expect("written");
        let warnings_with = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            let file = EnvFile::open(&path).expect("opens").expect("is there");
            file.warnings().to_vec()
        };
        assert!(warnings_with(0o644)[0].contains("mode 0644"));
        assert!(warnings_with(0o600).is_empty());
    }

    #[test]
    fn a_malformed_file_is_an_error_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        assert!(EnvFile::open(&path).expect("opens").is_none());
        std::fs::write(&path, "A=1\nhunter2 is my password\n").expect("written");
        let Err(error) = EnvFile::open(&path) else {
            panic!("it opened");
        };
        assert_eq!(error.kind(), "secret.env_file");
        let shown = format!("{error:?} {error}");
        assert!(
            shown.contains("line 2") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
