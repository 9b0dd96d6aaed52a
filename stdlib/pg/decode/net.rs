//! Network addresses, as the server writes them.

use std::net::{Ipv4Addr, Ipv6Addr};

use rhai::Dynamic;

use super::reader::{Malformed, Read, Reader};

/// `inet` and `cidr`: `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`.
pub fn address(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let _family = reader.u8()?;
    let bits = reader.u8()?;
    let is_network = reader.u8()? != 0;
    let length = usize::from(reader.u8()?);
    let (address, widest) = match length {
        4 => (Ipv4Addr::from(reader.array::<4>()?).to_string(), 32),
        16 => (Ipv6Addr::from(reader.array::<16>()?).to_string(), 128),
        _ => return Err(Malformed),
    };
    reader.end()?;
    Ok(if bits == widest && !is_network {
        address
    } else {
        format!("{address}/{bits}")
    }
    .into())
}

/// `macaddr` and `macaddr8`: `08:00:2b:01:02:03`.
pub fn hardware(bytes: &[u8]) -> Read<Dynamic> {
    if bytes.len() != 6 && bytes.len() != 8 {
        return Err(Malformed);
    }
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(parts.join(":").into())
}
