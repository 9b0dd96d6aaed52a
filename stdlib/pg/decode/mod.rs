//! From the wire's binary values to the values of scripts.
//!
//! | Postgres | script |
//! |---|---|
//! | NULL | `()` |
//! | bool; smallint, int, bigint, oid, regclass and the other reg… types, xid | bool; int |
//! | real, double precision | float |
//! | numeric, money | decimal; a text where it has more than 28 digits, for NaN and Infinity |
//! | text, varchar, char, name, citext, xml, enums, uuid | string |
//! | bytea | blob |
//! | json, jsonb | map, array, string, int, float, bool, `()` |
//! | timestamptz | `Timestamp` (a text for infinity and beyond the year 9999) |
//! | date, time, timetz, timestamp | string in ISO 8601 (they are no moments) |
//! | interval | `Duration` without months, else a string in ISO 8601 |
//! | arrays | array, nested for several dimensions |
//! | ranges, multiranges | map of bounds; array of such maps |
//! | composite types, row(…), hstore | map |
//! | inet, cidr, macaddr, bit, geometric types, pg_lsn, tid, tsvector, tsquery | string as `psql` shows it |
//! | types of other extensions | `#{ type, hex }` |

mod array;
mod composite;
mod geometric;
mod interval;
mod net;
mod numeric;
mod range;
mod reader;
mod search;
mod system;
mod time;

use rhai::{Dynamic, Map};
use sqlx::TypeInfo as _;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

pub use array::encode as encode_array;
pub use interval::encode as encode_interval;
pub use numeric::encode as encode_numeric;
pub use time::{encode_date, encode_moment};

use reader::{Malformed, Read, Reader};

/// Reads the values of one type.
pub type Decoder = fn(&[u8]) -> Read<Dynamic>;

/// How a type of the server is read.
#[derive(Debug, Clone)]
pub enum Type {
    /// By one function.
    Simple(Decoder),
    /// An array of elements.
    Array(Box<Type>),
    /// A range between bounds.
    Range(Box<Type>),
    /// A composite with these fields; none are known of an anonymous one.
    Composite(Vec<(String, Type)>),
    /// A type of an extension that is not known here.
    Unknown(String),
}

impl Type {
    /// How values of this type are read.
    #[must_use]
    pub fn of(info: &PgTypeInfo) -> Self {
        Self::nested(info, 0)
    }

    /// How values of this built-in type are read.
    #[must_use]
    pub fn of_oid(oid: u32) -> Self {
        if let Some(decode) = built_in(oid) {
            return Self::Simple(decode);
        }
        match built_in_element(oid) {
            Some(element) => Self::Array(Box::new(Self::of_oid(element))),
            None => match oid {
                2249 => Self::Composite(Vec::new()),
                3904 => Self::Range(Box::new(Self::of_oid(23))),
                3906 => Self::Range(Box::new(Self::of_oid(1700))),
                3908 => Self::Range(Box::new(Self::of_oid(1114))),
                3910 => Self::Range(Box::new(Self::of_oid(1184))),
                3912 => Self::Range(Box::new(Self::of_oid(1082))),
                3926 => Self::Range(Box::new(Self::of_oid(20))),
                _ => Self::Unknown(format!("type with oid {oid}")),
            },
        }
    }

    fn nested(info: &PgTypeInfo, depth: usize) -> Self {
        let oid = info.oid().map_or(0, |oid| oid.0);
        if let Some(decode) = built_in(oid) {
            return Self::Simple(decode);
        }
        // Types can't contain themselves without an array or a table in between; a table can.
        if depth > 16 {
            return Self::Unknown(info.name().to_owned());
        }
        match info.kind() {
            PgTypeKind::Domain(base) => Self::nested(base, depth + 1),
            PgTypeKind::Array(element) => Self::Array(Box::new(Self::nested(element, depth + 1))),
            PgTypeKind::Range(bound) => Self::Range(Box::new(Self::nested(bound, depth + 1))),
            PgTypeKind::Enum(_) => Self::Simple(text),
            PgTypeKind::Composite(fields) => Self::Composite(
                fields
                    .iter()
                    .map(|(name, field)| (name.clone(), Self::nested(field, depth + 1)))
                    .collect(),
            ),
            PgTypeKind::Simple | PgTypeKind::Pseudo if oid < 16_384 => Self::of_oid(oid),
            PgTypeKind::Simple | PgTypeKind::Pseudo => by_name(info.name()),
        }
    }

    /// The value. It never fails: bytes that are not what the type says come as `#{ type, hex }`.
    pub fn decode(&self, bytes: &[u8]) -> Dynamic {
        let read = match self {
            Self::Simple(decode) => decode(bytes),
            Self::Array(element) => array::array(element, bytes),
            Self::Range(bound) => range::range(bound, bytes),
            Self::Composite(fields) => composite::composite(fields, bytes),
            Self::Unknown(_) => Err(Malformed),
        };
        read.unwrap_or_else(|Malformed| {
            let mut map = Map::new();
            let name = match self {
                Self::Unknown(name) => name.as_str(),
                _ => "malformed",
            };
            map.insert("type".into(), name.into());
            map.insert("hex".into(), hex::encode(bytes).into());
            map.into()
        })
    }
}

/// The types of common extensions, which have no fixed number.
fn by_name(name: &str) -> Type {
    let bare = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
    Type::Simple(match bare {
        "citext" => text,
        "ltree" | "lquery" | "ltxtquery" => system::versioned_text,
        "hstore" => system::hstore,
        "vector" => system::vector,
        _ => return Type::Unknown(name.to_owned()),
    })
}

/// The decoder of a built-in type, by the numbers of `pg_type.dat`.
fn built_in(oid: u32) -> Option<Decoder> {
    Some(match oid {
        16 => boolean,
        17 => blob,
        18 => system::character,
        20 => bigint,
        21 => smallint,
        23 => integer,
        // oid, xid, cid, regproc and the other names of objects
        26 | 28 | 29 | 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191 => unsigned_integer,
        // text, name, bpchar, varchar, xml, unknown, cstring, refcursor, pg_node_tree
        25 | 19 | 1042 | 1043 | 142 | 705 | 2275 | 1790 | 194 => text,
        27 => system::row_position,
        114 => json,
        3802 => jsonb,
        600 => geometric::point,
        601 => geometric::segment,
        602 => geometric::path,
        603 => geometric::rectangle,
        604 => geometric::polygon,
        628 => geometric::line,
        718 => geometric::circle,
        650 | 869 => net::address,
        829 | 774 => net::hardware,
        700 => real,
        701 => double,
        790 => numeric::money,
        1700 => numeric::numeric,
        1082 => time::date,
        1083 => time::time,
        1114 => time::timestamp,
        1184 => time::timestamptz,
        1266 => time::timetz,
        1186 => interval::interval,
        1560 | 1562 => system::bits,
        2278 => |_| Ok(Dynamic::UNIT),
        2950 => uuid,
        3220 => system::log_position,
        5069 => system::unsigned,
        2970 | 5038 => system::snapshot,
        3614 => search::vector,
        3615 => search::query,
        4072 => system::versioned_text,
        _ => return None,
    })
}

/// The element type of a built-in array type.
fn built_in_element(oid: u32) -> Option<u32> {
    Some(match oid {
        22 | 1005 => 21,
        30 | 1028 => 26,
        199 => 114,
        629 => 628,
        651 => 650,
        719 => 718,
        775 => 774,
        791 => 790,
        1000 => 16,
        1001 => 17,
        1002 => 18,
        1003 => 19,
        1007 => 23,
        1009 => 25,
        1010 => 27,
        1011 => 28,
        1012 => 29,
        1014 => 1042,
        1015 => 1043,
        1016 => 20,
        1017 => 600,
        1018 => 601,
        1019 => 602,
        1020 => 603,
        1021 => 700,
        1022 => 701,
        1027 => 604,
        1040 => 829,
        1041 => 869,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1187 => 1186,
        1231 => 1700,
        1270 => 1266,
        1561 => 1560,
        1563 => 1562,
        2210 => 2205,
        2287 => 2249,
        2951 => 2950,
        3807 => 3802,
        3643 => 3614,
        3645 => 3615,
        3905 => 3904,
        3907 => 3906,
        3909 => 3908,
        3911 => 3910,
        3913 => 3912,
        3927 => 3926,
        4073 => 4072,
        143 => 142,
        3221 => 3220,
        271 => 5069,
        _ => return None,
    })
}

fn boolean(bytes: &[u8]) -> Read<Dynamic> {
    Ok((Reader(bytes).u8()? != 0).into())
}

fn smallint(bytes: &[u8]) -> Read<Dynamic> {
    Ok(i64::from(Reader(bytes).i16()?).into())
}

fn integer(bytes: &[u8]) -> Read<Dynamic> {
    Ok(i64::from(Reader(bytes).i32()?).into())
}

fn unsigned_integer(bytes: &[u8]) -> Read<Dynamic> {
    Ok(i64::from(Reader(bytes).u32()?).into())
}

fn bigint(bytes: &[u8]) -> Read<Dynamic> {
    Ok(Reader(bytes).i64()?.into())
}

fn real(bytes: &[u8]) -> Read<Dynamic> {
    let number = f32::from_be_bytes(Reader(bytes).array()?);
    // By way of its shortest text, so that 0.1 stays 0.1.
    Ok(number
        .to_string()
        .parse::<f64>()
        .unwrap_or_else(|_| f64::from(number))
        .into())
}

fn double(bytes: &[u8]) -> Read<Dynamic> {
    Ok(Reader(bytes).f64()?.into())
}

fn text(bytes: &[u8]) -> Read<Dynamic> {
    std::str::from_utf8(bytes)
        .map(|text| text.into())
        .map_err(|_| Malformed)
}

fn blob(bytes: &[u8]) -> Read<Dynamic> {
    Ok(Dynamic::from_blob(bytes.to_vec()))
}

fn uuid(bytes: &[u8]) -> Read<Dynamic> {
    let id = uuid::Uuid::from_slice(bytes).map_err(|_| Malformed)?;
    Ok(id.to_string().into())
}

fn json(bytes: &[u8]) -> Read<Dynamic> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => Ok(ccrun_kernel::value::from_json(&value)),
        // Numbers beyond a double and very deep nesting are JSON to the server.
        Err(_) => text(bytes),
    }
}

fn jsonb(bytes: &[u8]) -> Read<Dynamic> {
    match bytes.split_first() {
        Some((1, rest)) => json(rest),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every type that is known, in itself, in an array, in a range and in a composite.
    fn every_type() -> Vec<Type> {
        let simple: Vec<Type> = (1..6000)
            .map(Type::of_oid)
            .chain(["citext", "ltree", "hstore", "vector", "geometry"].map(by_name))
            .filter(|kind| !matches!(kind, Type::Unknown(_)))
            .collect();
        let mut all = simple.clone();
        for kind in simple {
            all.push(Type::Array(Box::new(kind.clone())));
            all.push(Type::Range(Box::new(kind.clone())));
            all.push(Type::Composite(vec![("a".to_owned(), kind)]));
        }
        all.push(Type::Unknown("geometry".to_owned()));
        all
    }

    #[test]
    fn what_is_not_known_comes_as_hex() {
        let value = Type::Unknown("geometry".to_owned()).decode(&[1, 0xab]);
        let map = value.cast::<Map>();
        assert_eq!(map["type"].to_string(), "geometry");
        assert_eq!(map["hex"].to_string(), "01ab");
    }

    #[test]
    fn counts_without_bytes_behind_them_are_not_believed() {
        let mut bytes = Vec::new();
        for word in [
            6_i32, 0, 23, 1000, 1, 1000, 1, 1000, 1, 1000, 1, 1000, 1, 0, 1,
        ] {
            bytes.extend(word.to_be_bytes());
        }
        assert!(
            Type::Array(Box::new(Type::of_oid(23)))
                .decode(&bytes)
                .is_map()
        );
    }

    #[test]
    fn deep_json_is_a_text() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(Type::of_oid(114).decode(deep.as_bytes()).is_string());
        assert!(Type::of_oid(114).decode(b"1e999").is_string());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for kind in every_type() {
                let _ = kind.decode(&bytes);
            }
        }

        /// Small numbers where counts and lengths are read get further in.
        #[test]
        fn nearly_right_bytes_do_not_panic(
            words in proptest::collection::vec(0_i32..12, 0..24),
            tail: Vec<u8>,
        ) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            bytes.extend(tail);
            for kind in every_type() {
                let _ = kind.decode(&bytes);
            }
        }
    }
}
