//! The option decoder on whatever a script may hand it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rhai::{Dynamic, FnPtr, Map};

use super::{FromArg, Mismatch};
use crate::Options;
use crate::value::{Duration, Size};

/// One key of each kind.
#[derive(Debug, Options)]
struct Restart {
    /// How long.
    #[option(default = "30s")]
    timeout: Duration,
    /// Which.
    signal: Option<String>,
    /// How often.
    #[option(default = "3")]
    retries: u16,
    /// How big.
    size: Option<Size>,
    /// Whose.
    names: Vec<String>,
}

const KEYS: [&str; 5] = ["timeout", "signal", "retries", "size", "names"];

/// Any value that a script can write, also nested.
fn value() -> impl Strategy<Value = Dynamic> {
    let leaf = prop_oneof![
        Just(Dynamic::UNIT),
        any::<bool>().prop_map(Dynamic::from),
        any::<i64>().prop_map(Dynamic::from),
        any::<f64>().prop_map(Dynamic::from),
        any::<char>().prop_map(Dynamic::from),
        ".{0,12}".prop_map(Dynamic::from),
        "-?[0-9]{1,25}(ns|us|ms|s|m|h|d|w|B|KiB|GB|TiB)?".prop_map(Dynamic::from),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Dynamic::from_blob),
        "f_[a-z]{1,8}".prop_map(|name| Dynamic::from(FnPtr::new(name).expect("an identifier"))),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Dynamic::from_array),
            proptest::collection::btree_map(key(), inner, 0..4).prop_map(|map| {
                let map: Map = map.into_iter().map(|(k, v)| (k.into(), v)).collect();
                Dynamic::from_map(map)
            }),
        ]
    })
}

/// A key that is known, nearly known, or anything.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(KEYS.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(vec!["timeuot", "Signal", "retry", ""]).prop_map(str::to_owned),
        ".{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// It decodes or says why; a key that nobody reads is never passed over in silence, and a value
    /// that does not fit is told with its key.
    #[test]
    fn options_are_decoded_or_named(map in proptest::collection::btree_map(key(), value(), 0..6)) {
        let unknown: BTreeSet<&str> =
            map.keys().map(String::as_str).filter(|key| !KEYS.contains(key)).collect();
        let options: Map = map.iter().map(|(k, v)| (k.as_str().into(), v.clone())).collect();
        match Restart::from_arg(Dynamic::from_map(options)) {
            Ok(read) => {
                prop_assert!(unknown.is_empty(), "{unknown:?} were passed over");
                prop_assert!(map.contains_key("names"), "a required key was made up");
                // What was read is what was written.
                if let Some(text) = map.get("signal").and_then(|v| v.clone().into_string().ok()) {
                    prop_assert_eq!(read.signal, Some(text));
                }
                if let Some(number) = map.get("retries").and_then(|v| v.as_int().ok()) {
                    prop_assert_eq!(i64::from(read.retries), number);
                } else {
                    prop_assert_eq!(read.retries, 3);
                }
                if !map.contains_key("timeout") {
                    prop_assert_eq!(read.timeout, "30s".parse::<Duration>().expect("30s"));
                }
                prop_assert!(read.size.is_none() || map.contains_key("size"));
                drop(read.names);
            }
            Err(Mismatch::UnknownKey { key, known, .. }) => {
                prop_assert!(unknown.contains(key.as_str()), "`{key}` is known");
                prop_assert_eq!(known, KEYS);
            }
            Err(error) => {
                prop_assert!(unknown.is_empty(), "{unknown:?} were not named: {error:?}");
            }
        }
    }

    /// Whatever stands where the options map should be.
    #[test]
    fn what_is_no_map_is_refused(value in value()) {
        let is_map = value.is_map();
        let read = Restart::from_arg(value);
        prop_assert!(is_map || read.is_err());
    }
}
