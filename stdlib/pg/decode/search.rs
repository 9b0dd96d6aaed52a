//! `tsvector` and `tsquery`, as the server writes them.

use rhai::Dynamic;

use super::reader::{Malformed, Read, Reader};

/// `'cat':3A 'fat':2`
pub fn vector(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    // A lexeme has at least its terminator and the count of its positions.
    let count = reader.count(3)?;
    let mut lexemes = Vec::with_capacity(count);
    for _ in 0..count {
        let mut text = quoted(reader.c_string()?);
        for index in 0..reader.u16()? {
            let position = reader.u16()?;
            let weight = ["", "C", "B", "A"][usize::from(position >> 14)];
            let separator = if index == 0 { ':' } else { ',' };
            text.push_str(&format!("{separator}{}{weight}", position & 0x3fff));
        }
        lexemes.push(text);
    }
    reader.end()?;
    Ok(lexemes.join(" ").into())
}

/// `'fat' & ( 'rat' | 'cat' )`
pub fn query(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let items = reader.count(2)?;
    if items == 0 {
        return Ok("".into());
    }
    let mut left = items;
    let text = operand(&mut reader, &mut left, 0, 0)?;
    reader.end()?;
    Ok(text.into())
}

/// Deeper than people write, and less than a stack holds.
const DEPTH: usize = 256;

/// The items come in prefix order, the right operand first (`tsquerysend` in `tsquery.c`).
fn operand(reader: &mut Reader<'_>, left: &mut usize, outer: u8, depth: usize) -> Read<String> {
    *left = left.checked_sub(1).ok_or(Malformed)?;
    if depth > DEPTH {
        return Err(Malformed);
    }
    match reader.u8()? {
        1 => {
            let weights = reader.u8()?;
            let prefix = reader.u8()? != 0;
            let mut text = quoted(reader.c_string()?);
            if prefix || weights != 0 {
                text.push(':');
            }
            if prefix {
                text.push('*');
            }
            for (bit, letter) in [(8, 'A'), (4, 'B'), (2, 'C'), (1, 'D')] {
                if weights & bit != 0 {
                    text.push(letter);
                }
            }
            Ok(text)
        }
        2 => {
            // How tightly they bind: NOT 4, PHRASE 3, AND 2, OR 1.
            let (operator, binding) = match reader.u8()? {
                1 => ("!".to_owned(), 4),
                2 => ("&".to_owned(), 2),
                3 => ("|".to_owned(), 1),
                4 => match reader.u16()? {
                    1 => ("<->".to_owned(), 3),
                    distance => (format!("<{distance}>"), 3),
                },
                _ => return Err(Malformed),
            };
            let right = operand(reader, left, binding, depth + 1)?;
            let text = if operator == "!" {
                format!("!{right}")
            } else {
                let first = operand(reader, left, binding, depth + 1)?;
                format!("{first} {operator} {right}")
            };
            Ok(if binding < outer {
                format!("( {text} )")
            } else {
                text
            })
        }
        _ => Err(Malformed),
    }
}

fn quoted(lexeme: &str) -> String {
    format!("'{}'", lexeme.replace('\\', "\\\\").replace('\'', "''"))
}
