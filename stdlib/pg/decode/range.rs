//! Ranges.

use rhai::{Dynamic, Map};

use super::Type;
use super::reader::{Read, Reader};

// The flags of `rangetypes.h`.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// `#{ lower, upper, lower_inclusive, upper_inclusive, empty }`; a side without a bound is `()`.
pub fn range(bound: &Type, bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let flags = reader.u8()?;
    let has = |flag: u8| flags & flag != 0;
    let mut side = |infinite: u8| -> Read<Dynamic> {
        if has(EMPTY) || has(infinite) {
            return Ok(Dynamic::UNIT);
        }
        Ok(reader
            .sized()?
            .map_or(Dynamic::UNIT, |bytes| bound.decode(bytes)))
    };
    let lower = side(LOWER_INFINITE)?;
    let upper = side(UPPER_INFINITE)?;
    reader.end()?;
    let mut map = Map::new();
    map.insert("lower".into(), lower);
    map.insert("upper".into(), upper);
    map.insert("lower_inclusive".into(), has(LOWER_INCLUSIVE).into());
    map.insert("upper_inclusive".into(), has(UPPER_INCLUSIVE).into());
    map.insert("empty".into(), has(EMPTY).into());
    Ok(map.into())
}
