//! Rows of COPY's text format in its binary format, which costs the server half of the work.
//!
//! The formats are those of the manual's page on `COPY`; what stands in a field is what the type's `…recv` function of the server's
//! source takes. Only what the server itself writes is understood. Whatever else there is goes as the text that it is: the server
//! says what is wrong with it.

use jiff::civil::Date;
use uuid::Uuid;

/// What comes before the first row: signature, flags, and an extension of no length.
pub(super) const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What comes after the last row.
pub(super) const TAIL: &[u8] = &(-1_i16).to_be_bytes();

/// How a column's values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
    Bytea,
    /// As the text that it is: also JSON and enums.
    Text,
    /// A version, then the text.
    Jsonb,
}

impl Form {
    /// Of a type that is no enum and no domain, by its number in `pg_type.dat`. None: its values are sent as text.
    pub const fn of(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            // text, json, bpchar, varchar
            25 | 114 | 1042 | 1043 => Self::Text,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }
}

/// Rows whose columns have these forms. None: something in them is not understood.
pub(super) fn encode(forms: &[Form], mut lines: &[u8]) -> Option<Vec<u8>> {
    let count = i16::try_from(forms.len()).ok()?.to_be_bytes();
    let (last, others) = forms.split_last()?;
    let mut into = Vec::with_capacity(lines.len() + lines.len() / 2);
    while !lines.is_empty() {
        into.extend_from_slice(&count);
        for form in others {
            lines = field(*form, lines, b'\t', &mut into)?;
        }
        lines = field(*last, lines, b'\n', &mut into)?;
    }
    Some(into)
}

/// The field that these lines begin with, up to what it must end with. Returns what comes after it.
fn field<'l>(form: Form, lines: &'l [u8], end: u8, into: &mut Vec<u8>) -> Option<&'l [u8]> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        at += memchr::memchr3(b'\t', b'\n', b'\\', lines.get(at..)?)?;
        if lines[at] != b'\\' {
            break;
        }
        escaped = true;
        at += 2;
    }
    let (text, rest) = (&lines[..at], &lines[at + 1..]);
    if lines[at] != end {
        return None;
    }
    if text == b"\\N" {
        into.extend_from_slice(&(-1_i32).to_be_bytes());
        return Some(rest);
    }
    let from = into.len();
    into.extend_from_slice(&[0; 4]);
    value(form, text, escaped, into)?;
    let length = i32::try_from(into.len() - from - 4).ok()?;
    into[from..from + 4].copy_from_slice(&length.to_be_bytes());
    Some(rest)
}

fn value(form: Form, text: &[u8], escaped: bool, into: &mut Vec<u8>) -> Option<()> {
    match form {
        Form::Text if escaped => return unescape(text, into),
        Form::Text => into.extend_from_slice(text),
        Form::Jsonb => {
            into.push(1);
            if escaped {
                return unescape(text, into);
            }
            into.extend_from_slice(text);
        }
        Form::Bytea => {
            let digits = text.strip_prefix(br"\\x")?;
            let from = into.len();
            into.resize(from + digits.len() / 2, 0);
            hex::decode_to_slice(digits, &mut into[from..]).ok()?;
        }
        _ if escaped => return None,
        Form::Bool => into.push(match text {
            b"t" => 1,
            b"f" => 0,
            _ => return None,
        }),
        Form::Int2 => into.extend_from_slice(&i16::try_from(int(text)?).ok()?.to_be_bytes()),
        Form::Int4 => into.extend_from_slice(&i32::try_from(int(text)?).ok()?.to_be_bytes()),
        Form::Int8 => into.extend_from_slice(&int(text)?.to_be_bytes()),
        Form::Float4 => into.extend_from_slice(&number::<f32>(text)?.to_be_bytes()),
        Form::Float8 => into.extend_from_slice(&number::<f64>(text)?.to_be_bytes()),
        Form::Numeric => return numeric(text, into),
        Form::Uuid => into.extend_from_slice(Uuid::try_parse_ascii(text).ok()?.as_bytes()),
        Form::Date => into.extend_from_slice(&date(text)?.to_be_bytes()),
        Form::Timestamp => into.extend_from_slice(&timestamp(text, false)?.to_be_bytes()),
        Form::TimestampTz => into.extend_from_slice(&timestamp(text, true)?.to_be_bytes()),
    }
    Some(())
}

/// The escapes that the server writes.
fn unescape(mut text: &[u8], into: &mut Vec<u8>) -> Option<()> {
    while let Some(at) = memchr::memchr(b'\\', text) {
        into.extend_from_slice(&text[..at]);
        into.push(match text.get(at + 1)? {
            b'\\' => b'\\',
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            _ => return None,
        });
        text = &text[at + 2..];
    }
    into.extend_from_slice(text);
    Some(())
}

fn int(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// A float as `extra_float_digits` of at least 1 has it, which is exact.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Digits of base 10,000 (`numeric_recv`): their count, the weight of the first, the sign, how many decimals are shown.
fn numeric(text: &[u8], into: &mut Vec<u8>) -> Option<()> {
    const GROUP: usize = 4;
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (0x4000_u16, digits),
        None => (0, text),
    };
    let (whole, decimals) = match memchr::memchr(b'.', digits) {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &digits[..0]),
    };
    let all_digits = whole.iter().chain(decimals).all(u8::is_ascii_digit);
    if whole.is_empty() || !all_digits {
        return None;
    }
    let group = |digits: &[u8]| {
        let value = |sum: u16, digit: &u8| sum * 10 + u16::from(digit - b'0');
        digits.iter().fold(0, value)
    };
    let from = into.len();
    into.extend_from_slice(&[0; 8]);
    // The first group of the whole part is the short one, the last of the decimals is filled up.
    let mut groups = whole.len().div_ceil(GROUP);
    let weight = i16::try_from(groups).ok()? - 1;
    let short = whole.len() - (groups - 1) * GROUP;
    into.extend_from_slice(&group(&whole[..short]).to_be_bytes());
    for digits in whole[short..].chunks(GROUP) {
        into.extend_from_slice(&group(digits).to_be_bytes());
    }
    for digits in decimals.chunks(GROUP) {
        let missing = u32::try_from(GROUP - digits.len()).ok()?;
        into.extend_from_slice(&(group(digits) * 10_u16.pow(missing)).to_be_bytes());
        groups += 1;
    }
    // numeric.c: NUMERIC_DSCALE_MASK
    let shown = u16::try_from(decimals.len()).ok()?;
    let head = [
        u16::try_from(groups).ok()?.to_be_bytes(),
        weight.to_be_bytes(),
        sign.to_be_bytes(),
        shown.to_be_bytes(),
    ];
    into[from..from + 8].copy_from_slice(head.as_flattened());
    (shown <= 0x3fff).then_some(())
}

/// Days since 2000-01-01.
fn date(text: &[u8]) -> Option<i32> {
    match text {
        b"infinity" => Some(i32::MAX),
        b"-infinity" => Some(i32::MIN),
        _ => {
            let (days, rest) = days(text)?;
            rest.is_empty().then_some(days)
        }
    }
}

/// The days since 2000-01-01 of the date that a text begins with, and what comes after it. Years before the first and after the
/// 9999th are not understood.
fn days(text: &[u8]) -> Option<(i32, &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *date else {
        return None;
    };
    let year = pair(y0, y1)? * 100 + pair(y2, y3)?;
    let (month, day) = (pair(m0, m1)?, pair(d0, d1)?);
    // There is no year 0.
    let year = i16::try_from(year).ok().filter(|year| *year > 0)?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let since = Date::constant(2000, 1, 1).until(date).ok()?;
    Some((since.get_days(), rest))
}

/// Microseconds since 2000-01-01, in UTC for what has a zone.
fn timestamp(text: &[u8], zoned: bool) -> Option<i64> {
    match text {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (days, rest) = days(text)?;
    let (clock, mut rest) = rest.split_at_checked(9)?;
    let [b' ', h0, h1, b':', m0, m1, b':', s0, s1] = *clock else {
        return None;
    };
    let seconds = clock_seconds(pair(h0, h1)?, pair(m0, m1)?, pair(s0, s1)?)?;
    let mut micros = (i64::from(days) * 86_400 + seconds) * 1_000_000;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit());
        let (digits, after) = fraction.split_at(length.count());
        let missing = 6_usize.checked_sub(digits.len())?;
        micros += int(digits)? * 10_i64.pow(u32::try_from(missing).ok()?);
        rest = after;
    }
    if zoned {
        let (east, zone) = match rest.split_first()? {
            (b'+', zone) => (1, zone),
            (b'-', zone) => (-1, zone),
            _ => return None,
        };
        let seconds = match *zone {
            [h0, h1] => clock_seconds(pair(h0, h1)?, 0, 0)?,
            [h0, h1, b':', m0, m1] => clock_seconds(pair(h0, h1)?, pair(m0, m1)?, 0)?,
            [h0, h1, b':', m0, m1, b':', s0, s1] => {
                clock_seconds(pair(h0, h1)?, pair(m0, m1)?, pair(s0, s1)?)?
            }
            _ => return None,
        };
        micros -= east * seconds * 1_000_000;
        rest = &[];
    }
    rest.is_empty().then_some(micros)
}

fn clock_seconds(hour: i32, minute: i32, second: i32) -> Option<i64> {
    let is_time = hour < 24 && minute < 60 && second < 60;
    is_time.then(|| i64::from((hour * 60 + minute) * 60 + second))
}

/// Two digits.
fn pair(tens: u8, ones: u8) -> Option<i32> {
    let is_pair = tens.is_ascii_digit() && ones.is_ascii_digit();
    is_pair.then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
}

/// The columns that a `COPY … (…) FROM stdin` names.
pub(super) fn columns(copy: &str) -> Option<Vec<String>> {
    let mut quoted = false;
    let open = copy.find(|letter| {
        quoted ^= letter == '"';
        letter == '(' && !quoted
    })?;
    let mut names = Vec::new();
    let mut name = String::new();
    let mut letters = copy[open + 1..].chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => name.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' | ')' if !quoted => {
                names.push(std::mem::take(&mut name));
                if letter == ')' {
                    return Some(names);
                }
            }
            ' ' if !quoted => {}
            letter => name.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use ccrun_tests::postgres::Postgres;
    use proptest::prelude::*;

    use super::*;

    const ALL: [Form; 14] = [
        Form::Bool,
        Form::Int2,
        Form::Int4,
        Form::Int8,
        Form::Float4,
        Form::Float8,
        Form::Numeric,
        Form::Uuid,
        Form::Date,
        Form::Timestamp,
        Form::TimestampTz,
        Form::Bytea,
        Form::Text,
        Form::Jsonb,
    ];

    #[test]
    fn whatever_the_server_writes_it_reads_as_the_same() {
        let server = Postgres::shared();
        let database = server.create_database();
        // Zones of before 1920 have seconds here, and some dates lie on the other side of midnight.
        server.psql(
            &database,
            &format!("ALTER DATABASE {database} SET timezone TO 'Asia/Kathmandu'"),
        );
        server.psql(&database, include_str!("binary.sql"));
        let columns = "b, i2, i4, i8, f4, f8, n, u, d, ts, tz, by, t, jb";
        let copied = |table: &str| {
            let copy = format!("COPY {table} ({columns}) TO STDOUT");
            server.psql(&database, &copy) + "\n"
        };
        let text = copied("formed");
        assert!(text.lines().count() >= 20_000);
        for line in text.lines() {
            let row = encode(&ALL, format!("{line}\n").as_bytes());
            assert!(row.is_some(), "not understood: {line}");
        }
        let rows = encode(&ALL, text.as_bytes()).expect("each row is understood");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows");
        std::fs::write(&file, [HEAD, &rows, TAIL].concat()).unwrap();
        server.psql(&database, "CREATE TABLE back (LIKE formed)");
        server.psql(
            &database,
            &format!(
                r"\copy back ({columns}) FROM '{}' (FORMAT binary)",
                file.display()
            ),
        );
        let differ = "SELECT count(*) FROM (SELECT t::text FROM formed t EXCEPT ALL SELECT t::text FROM back t) x";
        assert_eq!(server.psql(&database, differ).trim(), "0");
        assert!(text == copied("back"), "the rows are others");
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_server() {
        for (form, text) in [
            (Form::Bool, "true"),
            (Form::Int2, "32768"),
            (Form::Int4, "1.5"),
            (Form::Int8, ""),
            (Form::Float8, "1,5"),
            (Form::Numeric, "NaN"),
            (Form::Numeric, "-"),
            (Form::Numeric, "1e5"),
            (Form::Uuid, "00000000-0000"),
            (Form::Date, "0044-03-15 BC"),
            (Form::Date, "10000-01-01"),
            (Form::Date, "2025-02-29"),
            (Form::Date, "01/02/2025"),
            (Form::Timestamp, "2025-01-01 24:00:00"),
            (Form::Timestamp, "2025-01-01 00:00:00+00"),
            (Form::Timestamp, "2025-01-01 00:00:00.1234567"),
            (Form::TimestampTz, "2025-01-01 00:00:00"),
            (Form::TimestampTz, "2025-01-01 00:00:00+1"),
            (Form::TimestampTz, "0044-03-15 00:00:00+00 BC"),
            (Form::Bytea, r"\\000abc"),
            (Form::Bytea, r"\\xabc"),
            (Form::Text, r"octal \101"),
            (Form::Text, "two\tfields"),
            (Form::Int4, r"\t1"),
        ] {
            assert_eq!(
                encode(&[form], format!("{text}\n").as_bytes()),
                None,
                "{form:?} {text}"
            );
        }
        // Too many fields, too few, and a row that is not over.
        for lines in ["1\t2\t3\n", "1\n", "1\t2", "1\t2\n3\t\\"] {
            assert_eq!(
                encode(&[Form::Int4, Form::Text], lines.as_bytes()),
                None,
                "{lines}"
            );
        }
    }

    #[test]
    fn names_of_columns_may_be_anything() {
        for (copy, names) in [
            ("COPY public.t (id, name) FROM stdin;\n", vec!["id", "name"]),
            (
                r#"COPY "a (b".t ("x, ""y"")", z) FROM stdin;"#,
                vec![r#"x, "y")"#, "z"],
            ),
            (
                r#"COPY t ("select", "Ünï cödé") FROM stdin;"#,
                vec!["select", "Ünï cödé"],
            ),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(columns(copy), Some(names), "{copy}");
        }
        assert_eq!(columns("COPY t FROM stdin;"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            forms in prop::collection::vec(prop::sample::select(ALL.to_vec()), 0..4),
            lines in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _rows = encode(&forms, &lines);
        }

        #[test]
        fn no_text_of_dates_and_numbers_panics(
            form in prop::sample::select(ALL.to_vec()),
            text in "[-+0-9:. \\\\xN]{0,40}",
        ) {
            let _rows = encode(&[form], format!("{text}\n").as_bytes());
        }
    }
}
