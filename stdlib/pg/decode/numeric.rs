//! `numeric` and `money`.

use rhai::Dynamic;
use rust_decimal::Decimal;

use super::reader::{Malformed, Read, Reader};

/// A decimal where it fits (28 digits); the number as text where not, and for `NaN`, `Infinity`.
pub fn numeric(bytes: &[u8]) -> Read<Dynamic> {
    let text = numeric_text(bytes)?;
    Ok(match exact(&text) {
        Some(decimal) => Dynamic::from_decimal(decimal),
        None => text.into(),
    })
}

/// The decimal with exactly these digits, if there is one.
pub fn exact(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

/// The digits, as the server would print them.
/// The layout is that of `numeric_send` in the server's `numeric.c`.
pub fn numeric_text(bytes: &[u8]) -> Read<String> {
    let mut reader = Reader(bytes);
    let digits = usize::from(reader.u16()?);
    let weight = i32::from(reader.i16()?);
    let sign = reader.u16()?;
    let scale = usize::from(reader.u16()? & 0x3fff);
    match sign {
        0x0000 | 0x4000 => {}
        0xc000 => return Ok("NaN".to_owned()),
        0xd000 => return Ok("Infinity".to_owned()),
        0xf000 => return Ok("-Infinity".to_owned()),
        _ => return Err(Malformed),
    }
    let mut groups = Vec::with_capacity(digits.min(reader.0.len() / 2));
    for _ in 0..digits {
        let group = reader.u16()?;
        if group > 9999 {
            return Err(Malformed);
        }
        groups.push(group);
    }
    reader.end()?;

    let group = |index: i32| {
        usize::try_from(index)
            .ok()
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for index in 0..=weight {
        let digits = group(index);
        if index == 0 {
            text.push_str(&digits.to_string());
        } else {
            text.push_str(&format!("{digits:04}"));
        }
    }
    if scale > 0 {
        let mut fraction = String::with_capacity(scale + 4);
        let mut index = weight + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(index)));
            index += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Ok(text)
}

/// The wire form of a number written as `[-]digits[.digits]`, `NaN` or `[-]Infinity`.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let special = match text {
        "NaN" => Some(0xc000_u16),
        "Infinity" => Some(0xd000),
        "-Infinity" => Some(0xf000),
        _ => None,
    };
    let header = |groups: u16, weight: i16, sign: u16, scale: u16| {
        let mut bytes = Vec::with_capacity(8 + usize::from(groups) * 2);
        bytes.extend(groups.to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(scale.to_be_bytes());
        bytes
    };
    if let Some(sign) = special {
        return Some(header(0, 0, sign, 0));
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    // Groups of four digits, aligned at the point.
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let scale = u16::try_from(fraction.len()).ok()?;
    let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let groups: Vec<u16> = whole
        .as_bytes()
        .chunks(4)
        .chain(fraction.as_bytes().chunks(4))
        .map(|group| {
            group
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
        .collect();
    let weight = i16::try_from(whole.len() / 4).ok()? - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    if leading == groups.len() {
        return Some(header(0, 0, 0, scale));
    }
    let groups = &groups[leading..groups.len() - trailing];
    let sign = if negative { 0x4000 } else { 0 };
    let weight = weight - i16::try_from(leading).ok()?;
    let mut bytes = header(u16::try_from(groups.len()).ok()?, weight, sign, scale);
    groups
        .iter()
        .for_each(|group| bytes.extend(group.to_be_bytes()));
    Some(bytes)
}

/// `money` counts hundredths; the number of places really depends on the server's `lc_monetary`,
/// which does not travel with the value.
pub fn money(bytes: &[u8]) -> Read<Dynamic> {
    let hundredths = Reader(bytes).i64()?;
    Ok(Dynamic::from_decimal(Decimal::new(hundredths, 2)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_encoded_reads_the_same() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "0.0001",
            "0.00010",
            "-123456789.987654321",
            "9999.9999",
            "100000000000000000000000000000000000000000.5",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            assert_eq!(numeric_text(&encode(text).unwrap()).unwrap(), text);
        }
        for text in ["", "-", ".", "1e5", "1.2.3", "x", "--1"] {
            assert_eq!(encode(text), None, "{text}");
        }
    }

    #[test]
    fn what_no_decimal_holds_is_a_text() {
        let wide = encode("123456789012345678901234567890.5").unwrap();
        assert!(numeric(&wide).unwrap().is_string());
        assert!(numeric(&encode("12.50").unwrap()).unwrap().is_decimal());
    }

    proptest! {
        #[test]
        fn every_number_survives(whole in "[1-9][0-9]{0,40}", fraction in "[0-9]{1,20}", minus: bool) {
            let text = format!("{}{whole}.{fraction}", if minus { "-" } else { "" });
            prop_assert_eq!(numeric_text(&encode(&text).unwrap()).unwrap(), text);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = numeric(&bytes);
        }
    }
}
