//! Reading the wire's bytes without ever trusting them.

/// A value that is not what its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The result of reading.
pub type Read<T> = Result<T, Malformed>;

/// The bytes that are left.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    /// A byte.
    pub fn u8(&mut self) -> Read<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit integer.
    pub fn i16(&mut self) -> Read<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// An unsigned 16-bit integer.
    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer.
    pub fn i32(&mut self) -> Read<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// An unsigned 32-bit integer.
    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit integer.
    pub fn i64(&mut self) -> Read<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// An unsigned 64-bit integer.
    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A double.
    pub fn f64(&mut self) -> Read<f64> {
        self.array().map(f64::from_be_bytes)
    }

    /// A value that is preceded by its length, which is -1 for NULL.
    pub fn sized(&mut self) -> Read<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Ok(None),
            length => self
                .bytes(usize::try_from(length).map_err(|_| Malformed)?)
                .map(Some),
        }
    }

    /// A text that ends with a zero byte.
    pub fn c_string(&mut self) -> Read<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let text = self.bytes(end)?;
        self.u8()?;
        std::str::from_utf8(text).map_err(|_| Malformed)
    }

    /// A count of things that take at least `size` bytes each, which bounds what is believed.
    pub fn count(&mut self, size: usize) -> Read<usize> {
        let count = usize::try_from(self.i32()?).map_err(|_| Malformed)?;
        if count > self.0.len() / size.max(1) {
            Err(Malformed)
        } else {
            Ok(count)
        }
    }

    /// Nothing may be left.
    pub fn end(self) -> Read<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}
