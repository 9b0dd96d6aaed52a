//! File modes as scripts write them: `"0640"`.

use std::fmt;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{FromArg, Mismatch};

/// The permission bits of a file, with set-user-ID, set-group-ID and sticky.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// From the bits of `stat(2)`; the file's type is left out.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromArg for Mode {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        // A number is refused: `640` would silently mean 01200.
        let wrong = || Mismatch::Value("write a mode as octal digits in quotes: \"0640\"".into());
        let text = value.into_string().map_err(|_| wrong())?;
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        let plausible =
            (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if plausible => Ok(Self(bits)),
            _ => Err(wrong()),
        }
    }
}
