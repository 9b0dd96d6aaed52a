//! How values look: to a person, and in an audit entry.

use std::ops::{Range, RangeInclusive};

use rhai::{Dynamic, FnPtr, INT, Map};

use super::{Duration, KeptSecret, Size, Timestamp};
use crate::planned::Planned;
use crate::secret::Secret;

/// A line of output that is still read at a glance.
const WIDTH: usize = 100;
/// What is shown of a string inside of another value.
const STRING: usize = 2_000;
/// How many elements of one array or map are shown.
const ITEMS: usize = 200;
/// How deep arrays and maps inside of each other are shown.
const DEPTH: usize = 12;
/// How much one value may print at all, in bytes.
const TOTAL: usize = 256 * 1024;
/// The object in front of a method in an audit entry.
const DESCRIPTION: usize = 60;

/// What `print` and the REPL show: a string as it is, maps and arrays as scripts write them, over
/// several lines where they need it. Deep and long ones are cut, and say so with `…`.
#[must_use]
pub fn show(value: &Dynamic) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.to_string();
    }
    let mut printer = Printer::new(Style::Show, TOTAL);
    printer.pretty(value, 0, 0);
    printer.out
}

/// One line, as a script would write it, at most `max` characters long: for audit entries.
#[must_use]
pub fn literal(value: &Dynamic, max: usize) -> String {
    let mut printer = Printer::new(Style::Literal, max.saturating_mul(4));
    printer.compact(value, 0);
    cut(&printer.out, max)
}

/// What stands for a value in front of a method's name.
#[must_use]
pub fn describe(value: &Dynamic) -> String {
    literal(value, DESCRIPTION)
}

/// A string as scripts write it: quoted and escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(&mut out, text);
    out
}

/// The name of a value's type, as authors of scripts know it.
#[must_use]
pub fn type_name(value: &Dynamic) -> String {
    match value.type_name() {
        "i64" => "int".into(),
        "f64" => "float".into(),
        "Fn" => "closure".into(),
        "alloc::string::String" | "&str" => "string".into(),
        name => name
            .rsplit("::")
            .next()
            .unwrap_or(name)
            .trim_end_matches('>')
            .to_owned(),
    }
}

/// The text of a value that is one thing, neither array nor map: for texts and for JSON. `None` for
/// the values that JSON has itself.
pub(super) fn scalar_text(value: &Dynamic) -> Option<String> {
    fn text<T: Clone + ToString + 'static>(value: &Dynamic) -> Option<String> {
        value.read_lock::<T>().map(|value| value.to_string())
    }
    text::<Duration>(value)
        .or_else(|| text::<Size>(value))
        .or_else(|| text::<Timestamp>(value))
        .or_else(|| text::<Secret>(value))
        .or_else(|| text::<KeptSecret>(value))
        .or_else(|| {
            value
                .read_lock::<Planned>()
                .map(|planned| planned.describe())
        })
        .or_else(|| {
            value
                .read_lock::<Range<INT>>()
                .map(|r| format!("{}..{}", r.start, r.end))
        })
        .or_else(|| {
            value
                .read_lock::<RangeInclusive<INT>>()
                .map(|r| format!("{}..={}", r.start(), r.end()))
        })
}

/// What stands for a handle, a closure and whatever else has no text of its own.
pub(super) fn handle_text(value: &Dynamic) -> String {
    match value.read_lock::<FnPtr>() {
        Some(function) if !function.is_anonymous() => format!("<function {}>", function.fn_name()),
        _ => format!("<{}>", type_name(value)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// For a person: a duration is `5m`.
    Show,
    /// For a script: a duration is `"5m"`, which primitives take.
    Literal,
}

struct Printer {
    out: String,
    style: Style,
    /// From here on, nothing more needs to be written: somebody will cut it.
    enough: usize,
    /// Whether something was left out already.
    cut: bool,
}

impl Printer {
    fn new(style: Style, enough: usize) -> Self {
        Self {
            out: String::new(),
            style,
            enough,
            cut: false,
        }
    }

    /// Over several lines where one is too long.
    fn pretty(&mut self, value: &Dynamic, indent: usize, depth: usize) {
        let mut line = Self::new(self.style, WIDTH * 4);
        line.compact(value, depth);
        let fits = line.out.chars().count() + indent <= WIDTH && !line.cut;
        let nested = value.is_array() || value.is_map();
        if fits || !nested || depth >= DEPTH {
            if nested || line.cut {
                line = Self::new(self.style, STRING * 4);
                line.compact(value, depth);
            }
            self.out.push_str(&line.out);
            return;
        }
        let inner = indent + 4;
        if let Ok(items) = value.as_array_ref() {
            self.lines('[', ']', indent, items.len(), |this, index| {
                this.pretty(&items[index], inner, depth + 1);
            });
        } else if let Ok(map) = value.as_map_ref() {
            let entries: Vec<_> = map.iter().collect();
            self.out.push('#');
            self.lines('{', '}', indent, entries.len(), |this, index| {
                let (key, item) = entries[index];
                this.key(key);
                this.pretty(item, inner, depth + 1);
            });
        }
    }

    fn lines(
        &mut self,
        open: char,
        close: char,
        indent: usize,
        count: usize,
        mut line: impl FnMut(&mut Self, usize),
    ) {
        let margin = " ".repeat(indent + 4);
        self.out.push(open);
        self.out.push('\n');
        for index in 0..count {
            self.out.push_str(&margin);
            if index >= ITEMS || self.out.len() >= self.enough {
                self.out.push_str(&format!("… {} more\n", count - index));
                break;
            }
            line(self, index);
            self.out.push_str(",\n");
        }
        self.out.push_str(&" ".repeat(indent));
        self.out.push(close);
    }

    /// In one line.
    fn compact(&mut self, value: &Dynamic, depth: usize) {
        if self.out.len() > self.enough {
            self.cut = true;
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.string(&text);
        } else if let Ok(items) = value.as_array_ref() {
            self.array(&items, depth);
        } else if let Ok(map) = value.as_map_ref() {
            self.map(&map, depth);
        } else if let Ok(number) = value.as_float() {
            self.out.push_str(&format!("{number:?}"));
        } else if let Ok(c) = value.as_char() {
            self.out.push_str(&format!("{c:?}"));
        } else if let Ok(blob) = value.as_blob_ref() {
            self.out
                .push_str(&format!("<blob {}>", Size::from_bytes(blob.len() as u64)));
        } else if value.is_unit() {
            self.out.push_str("()");
        } else if value.is_int() || value.is_bool() || value.is_decimal() {
            self.out.push_str(&value.to_string());
        } else if let Some(text) = scalar_text(value) {
            let typed = value.is::<Duration>() || value.is::<Size>() || value.is::<Timestamp>();
            if typed && self.style == Style::Literal {
                quote(&mut self.out, &text);
            } else {
                self.out.push_str(&text);
            }
        } else {
            self.out.push_str(&handle_text(value));
        }
    }

    fn string(&mut self, text: &str) {
        let shown = text
            .char_indices()
            .nth(STRING.min(self.enough))
            .map_or(text, |(end, _)| {
                self.cut = true;
                &text[..end]
            });
        quote(&mut self.out, shown);
        if shown.len() < text.len() {
            self.out.pop();
            self.out.push_str("…\"");
        }
    }

    fn array(&mut self, items: &[Dynamic], depth: usize) {
        if depth >= DEPTH && !items.is_empty() {
            self.cut = true;
            return self.out.push_str("[…]");
        }
        self.out.push('[');
        self.separated(items.iter(), |this, item| this.compact(item, depth + 1));
        self.out.push(']');
    }

    fn map(&mut self, map: &Map, depth: usize) {
        if map.is_empty() {
            return self.out.push_str("#{}");
        }
        if depth >= DEPTH {
            self.cut = true;
            return self.out.push_str("#{…}");
        }
        self.out.push_str("#{ ");
        self.separated(map.iter(), |this, (key, item)| {
            this.key(key);
            this.compact(item, depth + 1);
        });
        self.out.push_str(" }");
    }

    fn separated<I: ExactSizeIterator>(&mut self, items: I, write: impl Fn(&mut Self, I::Item)) {
        let count = items.len();
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if index >= ITEMS || self.out.len() > self.enough {
                self.cut = true;
                self.out.push_str(&format!("… {} more", count - index));
                return;
            }
            write(self, item);
        }
    }

    fn key(&mut self, key: &str) {
        if rhai::is_valid_identifier(key) {
            self.out.push_str(key);
        } else {
            quote(&mut self.out, key);
        }
        self.out.push_str(": ");
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// At most `max` characters, the last one `…` if something is missing.
fn cut(text: &str, max: usize) -> String {
    if text.char_indices().nth(max).is_none() {
        return text.to_owned();
    }
    let end = text
        .char_indices()
        .nth(max.saturating_sub(1))
        .map_or(0, |(end, _)| end);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use rhai::{Array, Engine};

    use super::*;

    fn value(script: &str) -> Dynamic {
        Engine::new().eval(script).unwrap()
    }

    #[test]
    fn print_shows_strings_bare_and_the_rest_as_scripts_write_it() {
        for (script, shown) in [
            (r#""plain \"text\"""#, "plain \"text\""),
            ("42", "42"),
            ("1.0", "1.0"),
            ("()", "()"),
            ("'x'", "'x'"),
            ("[]", "[]"),
            ("#{}", "#{}"),
            (r#"[1, "a\nb", true, ()]"#, r#"[1, "a\nb", true, ()]"#),
            (
                r#"#{ "not bare": 1, b: #{ c: [2.5] } }"#,
                r#"#{ b: #{ c: [2.5] }, "not bare": 1 }"#,
            ),
            ("|x| x", "<closure>"),
            ("Fn(\"trim\")", "<function trim>"),
            ("blob(2048)", "<blob 2 KiB>"),
            ("1..5", "1..5"),
        ] {
            assert_eq!(show(&value(script)), shown, "{script}");
        }
    }

    #[test]
    fn a_wide_value_is_shown_over_several_lines() {
        let long = "x".repeat(60);
        let map = value(&format!(
            r#"#{{ name: "{long}", tags: ["a", "b"], other: "{long}" }}"#
        ));
        assert_eq!(
            show(&map),
            format!(
                "#{{\n    name: \"{long}\",\n    other: \"{long}\",\n    tags: [\"a\", \"b\"],\n}}"
            )
        );
    }

    #[test]
    fn long_and_deep_values_are_cut() {
        let many: Array = (0..1000_i64).map(Dynamic::from).collect();
        let shown = show(&many.into());
        assert!(shown.ends_with("    199,\n    … 800 more\n]"), "{shown}");

        let mut deep = Dynamic::from(1_i64);
        for _ in 0..50 {
            deep = Dynamic::from(Array::from(vec![deep]));
        }
        assert_eq!(
            literal(&deep, 80),
            format!("{}[…]{}", "[".repeat(12), "]".repeat(12))
        );
        assert!(show(&deep).contains("[…]"));

        let text = show(&Array::from(vec!["é".repeat(5000).into()]).into());
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), 2000);
        assert!(text.ends_with("é…\",\n]"));
    }

    #[test]
    fn an_audit_entry_is_one_line_of_script() {
        let mut map = Map::new();
        map.insert(
            "keep".into(),
            Dynamic::from("7d".parse::<Duration>().unwrap()),
        );
        map.insert("text".into(), "two\nlines".into());
        let value = Dynamic::from(map);
        assert_eq!(
            literal(&value, 100),
            r#"#{ keep: "7d", text: "two\nlines" }"#
        );
        assert_eq!(literal(&value, 12), r#"#{ keep: "7…"#);
        assert_eq!(literal(&"ééééé".into(), 4), "\"éé…");
        assert_eq!(literal(&value, 0), "…");
        assert_eq!(show(&value), r#"#{ keep: 7d, text: "two\nlines" }"#);
    }

    #[test]
    fn a_quoted_string_is_the_same_string_to_a_script() {
        for text in [
            "",
            "a\"b\\c",
            "tab\tnew\nline\r",
            "\u{1}\u{7f}",
            "ünï ${x} `y`",
        ] {
            assert_eq!(value(&quoted(text)).into_string().unwrap(), text);
        }
    }

    #[test]
    fn a_secret_never_shows_its_text() {
        let secret = Dynamic::from(Secret::new("TOKEN", "hunter2-and-more"));
        let nested = Dynamic::from(Array::from(vec![secret.clone()]));
        assert_eq!(show(&secret), "‹secret TOKEN›");
        assert_eq!(show(&nested), "[‹secret TOKEN›]");
        assert_eq!(literal(&nested, 40), "[‹secret TOKEN›]");
    }
}
