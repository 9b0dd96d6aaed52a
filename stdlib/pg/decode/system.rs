//! The server's own types (transactions, positions in the log, rows on disk), bits, and the types of
//! common extensions.

use rhai::{Dynamic, Map};
use rust_decimal::Decimal;

use super::reader::{Malformed, Read, Reader};

/// A number that may be greater than an `int`: then it is a decimal.
pub fn unsigned(bytes: &[u8]) -> Read<Dynamic> {
    let number = Reader(bytes).u64()?;
    Ok(wide(number))
}

fn wide(number: u64) -> Dynamic {
    i64::try_from(number).map_or_else(
        |_| Dynamic::from_decimal(Decimal::from(number)),
        Dynamic::from,
    )
}

/// `pg_lsn`: `16/B374D848`
pub fn log_position(bytes: &[u8]) -> Read<Dynamic> {
    let position = Reader(bytes).u64()?;
    Ok(format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff).into())
}

/// `tid`: `(0,1)`
pub fn row_position(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(format!("({},{})", reader.u32()?, reader.u16()?).into())
}

/// `pg_snapshot`: `10:20:10,14,15`
pub fn snapshot(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let count = usize::try_from(reader.i32()?).map_err(|_| Malformed)?;
    let (from, to) = (reader.u64()?, reader.u64()?);
    if count > reader.0.len() / 8 {
        return Err(Malformed);
    }
    let running: Vec<String> = (0..count)
        .map(|_| Ok(reader.u64()?.to_string()))
        .collect::<Read<_>>()?;
    Ok(format!("{from}:{to}:{}", running.join(",")).into())
}

/// `bit` and `varbit`: `10110`
pub fn bits(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let count = usize::try_from(reader.i32()?).map_err(|_| Malformed)?;
    let bytes = reader.bytes(count.div_ceil(8))?;
    reader.end()?;
    let text: String = (0..count)
        .map(|index| {
            if bytes[index / 8] & (0x80 >> (index % 8)) != 0 {
                '1'
            } else {
                '0'
            }
        })
        .collect();
    Ok(text.into())
}

/// `"char"`: one byte as a text, empty for zero.
pub fn character(bytes: &[u8]) -> Read<Dynamic> {
    match Reader(bytes).u8()? {
        0 => Ok("".into()),
        byte => Ok(char::from(byte).to_string().into()),
    }
}

/// A text with a version byte in front: `jsonpath`, `ltree`, `lquery`.
pub fn versioned_text(bytes: &[u8]) -> Read<Dynamic> {
    let (version, text) = bytes.split_first().ok_or(Malformed)?;
    if *version != 1 {
        return Err(Malformed);
    }
    std::str::from_utf8(text)
        .map(|text| text.to_owned().into())
        .map_err(|_| Malformed)
}

/// `hstore`: a map of texts.
pub fn hstore(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let count = reader.count(8)?;
    let text = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Malformed)
    };
    let mut map = Map::new();
    for _ in 0..count {
        let key = text(reader.sized()?.ok_or(Malformed)?)?;
        let value = match reader.sized()? {
            Some(value) => text(value)?.into(),
            None => Dynamic::UNIT,
        };
        map.insert(key.into(), value);
    }
    reader.end()?;
    Ok(map.into())
}

/// pgvector's `vector`: an array of floats.
pub fn vector(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let count = usize::from(reader.u16()?);
    let _unused = reader.u16()?;
    if reader.0.len() != count * 4 {
        return Err(Malformed);
    }
    let numbers: rhai::Array = (0..count)
        .map(|_| {
            Ok(Dynamic::from(f64::from(f32::from_be_bytes(
                reader.array()?,
            ))))
        })
        .collect::<Read<_>>()?;
    Ok(numbers.into())
}
