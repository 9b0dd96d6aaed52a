//! Reading any self-describing format straight into script values.

use std::cell::Cell;
use std::fmt;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The longest text that is read: as long as a string of a script may be.
pub const MOST_BYTES: usize = 32 << 20;

/// The most values in one document: as many as an array of a script may have.
pub const MOST_VALUES: usize = 1_000_000;

/// What the message of the error begins with when there are more.
const TOO_MANY: &str = "more than";

/// A whole document.
pub struct Document(pub Dynamic);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MOST_VALUES);
        Reader { left: &left }.deserialize(deserializer).map(Self)
    }
}

impl Document {
    /// Whether the message is that of a document with too many values.
    #[must_use]
    pub fn is_too_large(message: &str) -> bool {
        message.starts_with(TOO_MANY)
    }
}

/// Reads one value, and counts it.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(D::Error::custom(format!("{TOO_MANY} {MOST_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_none<E: Error>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Dynamic, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    /// Above the greatest `int`, a decimal keeps every digit.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Dynamic, E> {
        Ok(i64::try_from(value).map_or_else(
            |_| Dynamic::from_decimal(Decimal::from(value)),
            Dynamic::from,
        ))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Dynamic, E> {
        if let Ok(int) = i64::try_from(value) {
            return Ok(int.into());
        }
        Ok(Decimal::from_i128(value)
            .map_or_else(|| Dynamic::from(value as f64), Dynamic::from_decimal))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Dynamic, E> {
        match i128::try_from(value) {
            Ok(value) => self.visit_i128(value),
            Err(_) => Ok(Dynamic::from(value as f64)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Dynamic, E> {
        Ok(value.to_owned().into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Dynamic, E> {
        Ok(Dynamic::from_blob(value.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, value: Vec<u8>) -> Result<Dynamic, E> {
        Ok(Dynamic::from_blob(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dynamic, A::Error> {
        let mut array = Array::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dynamic, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            map.insert(key.into(), entries.next_value_seed(self)?);
        }
        Ok(map.into())
    }
}
