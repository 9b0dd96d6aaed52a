//! Geometric values, as the server writes them.

use rhai::Dynamic;

use super::reader::{Read, Reader};

/// `(1,2)`
pub fn point(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(pair(&mut reader)?.into())
}

/// `[(1,2),(3,4)]`
pub fn segment(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(format!("[{},{}]", pair(&mut reader)?, pair(&mut reader)?).into())
}

/// `(3,4),(1,2)`
pub fn rectangle(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(format!("{},{}", pair(&mut reader)?, pair(&mut reader)?).into())
}

/// `{1,2,3}`
pub fn line(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let [a, b, c] = [
        number(&mut reader)?,
        number(&mut reader)?,
        number(&mut reader)?,
    ];
    Ok(format!("{{{a},{b},{c}}}").into())
}

/// `<(1,2),3>`
pub fn circle(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(format!("<{},{}>", pair(&mut reader)?, number(&mut reader)?).into())
}

/// `((1,2),(3,4))`, and `[(1,2),(3,4)]` when it is open
pub fn path(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let closed = reader.u8()? != 0;
    let points = pairs(&mut reader)?;
    Ok(if closed {
        format!("({points})")
    } else {
        format!("[{points}]")
    }
    .into())
}

/// `((1,2),(3,4),(5,6))`
pub fn polygon(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    Ok(format!("({})", pairs(&mut reader)?).into())
}

fn pairs(reader: &mut Reader<'_>) -> Read<String> {
    let count = reader.count(16)?;
    let pairs: Vec<String> = (0..count).map(|_| pair(reader)).collect::<Read<_>>()?;
    Ok(pairs.join(","))
}

fn pair(reader: &mut Reader<'_>) -> Read<String> {
    Ok(format!("({},{})", number(reader)?, number(reader)?))
}

fn number(reader: &mut Reader<'_>) -> Read<String> {
    let number = reader.f64()?;
    Ok(if number.is_infinite() {
        if number > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        }
    } else {
        number.to_string()
    })
}
