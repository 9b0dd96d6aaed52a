//! Composite values: rows as values.

use rhai::{Dynamic, Map};

use super::Type;
use super::reader::{Read, Reader};

/// A map by field names. An anonymous `row(…)` has no names: its fields are `f1`, `f2` …
pub fn composite(fields: &[(String, Type)], bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    // A field has at least its type and its length.
    let count = reader.count(8)?;
    let mut map = Map::new();
    for index in 0..count {
        let oid = reader.u32()?;
        let value = reader.sized()?;
        let (name, of_wire);
        let (name, field) = match fields.get(index) {
            Some((name, field)) => (name.as_str(), field),
            None => {
                name = format!("f{}", index + 1);
                of_wire = Type::of_oid(oid);
                (name.as_str(), &of_wire)
            }
        };
        map.insert(
            name.into(),
            value.map_or(Dynamic::UNIT, |bytes| field.decode(bytes)),
        );
    }
    reader.end()?;
    Ok(map.into())
}
