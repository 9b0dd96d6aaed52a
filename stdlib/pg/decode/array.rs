//! Arrays, of any number of dimensions.

use rhai::{Array, Dynamic};

use super::Type;
use super::reader::{Malformed, Read, Reader};

/// The server's own limit, `MAXDIM`.
const DIMENSIONS: usize = 6;

/// An array; one of several dimensions becomes an array of arrays. Where the indices start is lost.
pub fn array(element: &Type, bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let dimensions = usize::try_from(reader.i32()?).map_err(|_| Malformed)?;
    let _has_nulls = reader.i32()?;
    let _element_type = reader.u32()?;
    if dimensions > DIMENSIONS {
        return Err(Malformed);
    }
    if dimensions == 0 {
        return Ok(Array::new().into());
    }
    let mut lengths = Vec::with_capacity(dimensions);
    let mut total = 1_usize;
    for _ in 0..dimensions {
        let length = usize::try_from(reader.i32()?).map_err(|_| Malformed)?;
        let _first_index = reader.i32()?;
        total = total.checked_mul(length).ok_or(Malformed)?;
        lengths.push(length);
    }
    // Every element has at least its length, so that no count is believed without bytes behind it;
    // zero elements with huge other dimensions would still make huge arrays of empty arrays.
    if total == 0 || total > reader.0.len() / 4 {
        return Err(Malformed);
    }
    let value = level(element, &lengths, &mut reader)?;
    reader.end()?;
    Ok(value)
}

fn level(element: &Type, lengths: &[usize], reader: &mut Reader<'_>) -> Read<Dynamic> {
    let Some((length, inner)) = lengths.split_first() else {
        return Ok(reader
            .sized()?
            .map_or(Dynamic::UNIT, |bytes| element.decode(bytes)));
    };
    (0..*length)
        .map(|_| level(element, inner, reader))
        .collect::<Read<Array>>()
        .map(Into::into)
}

/// The wire form of a one-dimensional array.
pub fn encode(element_oid: u32, elements: &[Option<Vec<u8>>]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let has_nulls = i32::from(elements.iter().any(Option::is_none));
    bytes.extend(i32::from(!elements.is_empty()).to_be_bytes());
    bytes.extend(has_nulls.to_be_bytes());
    bytes.extend(element_oid.to_be_bytes());
    if elements.is_empty() {
        return Some(bytes);
    }
    bytes.extend(i32::try_from(elements.len()).ok()?.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    for element in elements {
        match element {
            None => bytes.extend((-1_i32).to_be_bytes()),
            Some(element) => {
                bytes.extend(i32::try_from(element.len()).ok()?.to_be_bytes());
                bytes.extend(element);
            }
        }
    }
    Some(bytes)
}
