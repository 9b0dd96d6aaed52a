//! Bytes as text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use ccrun_kernel::{Blob, Bytes, Error, Options, Result, primitive};

/// Reading takes padding or none: senders differ.
const READ: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Which Base64.
#[derive(Debug, Clone, Options)]
pub struct Base64Options {
    /// The URL-safe alphabet (`-` and `_`), written without padding.
    #[option(default = "false")]
    url: bool,
}

/// A string or blob in Base64.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(crypto::base64_encode("any+old & data") == "YW55K29sZCAmIGRhdGE=");
/// assert(crypto::base64_encode("a?>", #{ url: true }) == "YT8-");
/// ```
#[primitive(pure)]
pub fn base64_encode(data: Bytes, options: Base64Options) -> String {
    if options.url {
        general_purpose::URL_SAFE_NO_PAD.encode(data.0)
    } else {
        general_purpose::STANDARD.encode(data.0)
    }
}

/// The bytes of a Base64 text, as a blob. Line breaks and spaces are skipped, padding may be missing.
///
/// # Errors
/// `crypto.base64` naming the character that does not belong.
///
/// # Example
/// ```rhai
/// assert(crypto::base64_decode("AP8=") == crypto::hex_decode("00ff"));
/// ```
#[primitive(pure)]
pub fn base64_decode(text: String, options: Base64Options) -> Result<Blob> {
    let alphabet = if options.url {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    let compact: String = text.split_ascii_whitespace().collect();
    GeneralPurpose::new(alphabet, READ)
        .decode(&compact)
        .map_err(|error| {
            let built = Error::new("crypto.base64", format!("not Base64: {error}"));
            let other = if options.url { ['+', '/'] } else { ['-', '_'] };
            if compact.contains(other) {
                let url = !options.url;
                return built.hint(format!(
                    "it is written in the other alphabet: `#{{ url: {url} }}`"
                ));
            }
            built
        })
}

/// The text of a Base64 text.
///
/// # Errors
/// `crypto.base64` naming the character that does not belong; `crypto.not_text` if the bytes are not
/// UTF-8.
///
/// # Example
/// ```rhai
/// assert(crypto::base64_decode_text("aGVsbG8=") == "hello");
/// ```
#[primitive(pure)]
pub fn base64_decode_text(text: String, options: Base64Options) -> Result<String> {
    String::from_utf8(base64_decode(text, options)?).map_err(|_| {
        Error::new("crypto.not_text", "the decoded bytes are not UTF-8 text")
            .hint("`crypto::base64_decode` gives them as a blob")
    })
}

/// A string or blob in hexadecimal, lower-case.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(crypto::hex_encode("AB") == "4142");
/// ```
#[primitive(pure)]
pub fn hex_encode(data: Bytes) -> String {
    hex::encode(data.0)
}

/// The bytes of a hexadecimal text, as a blob.
///
/// # Errors
/// `crypto.hex` naming the character that does not belong.
///
/// # Example
/// ```rhai
/// assert(crypto::hex_encode(crypto::hex_decode("00FF")) == "00ff");
/// ```
#[primitive(pure)]
pub fn hex_decode(text: String) -> Result<Blob> {
    hex::decode(text.trim())
        .map_err(|error| Error::new("crypto.hex", format!("not hexadecimal: {error}")))
}
