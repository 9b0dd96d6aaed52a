//! JSON Web Tokens (RFC 7519) signed with a shared key: HS256, HS384, HS512.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::{Duration, Timestamp, from_json, to_json};
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Result, primitive};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::Value;

use super::hash::usable;
use crate::document::{self, Format};

/// Tokens travel in headers: servers refuse longer ones long before this.
const MOST_BYTES: usize = 64 << 10;

const KINDS: Format = Format {
    namespace: "crypto",
    title: "JWT claims",
};

/// How to sign.
#[derive(Debug, Clone, Options)]
pub struct SignOptions {
    /// `HS256`, `HS384` or `HS512`.
    #[option(default = "HS256")]
    algorithm: String,
    /// How long the token is good for: sets `exp`. Without it, the claims say so themselves, or it is
    /// good for ever.
    expires_in: Option<Duration>,
    /// Whether `iat` is set to now, if the claims do not have it.
    #[option(default = "true")]
    issued_at: bool,
    /// More fields of the header, such as `kid`.
    header: Option<Map>,
    /// The name of the Secret, which is shown in its place.
    #[option(default = "jwt")]
    name: String,
}

/// What to ask of a token.
#[derive(Debug, Clone, Options)]
pub struct VerifyOptions {
    /// The algorithms that are accepted. Without it: HS256, HS384 and HS512.
    algorithms: Option<Vec<String>>,
    /// One of its audiences must be this. A token for an audience is refused without it.
    audience: Option<String>,
    /// Its issuer must be this.
    issuer: Option<String>,
    /// How far the clocks may be apart.
    #[option(default = "0s")]
    leeway: Duration,
    /// Whether a token without `exp` is refused.
    #[option(default = "false")]
    require_expiry: bool,
}

/// A JSON Web Token with these claims, signed with a shared key. A Secret: the token is a credential.
///
/// A `Timestamp` among the claims becomes seconds since 1970, as `exp`, `nbf` and `iat` have them.
/// Anyone can read the claims of a token; a key shorter than the hash draws a warning (RFC 7518).
///
/// # Errors
/// `crypto.key` for an empty key, `crypto.jwt_algorithm` for an unknown algorithm, `crypto.secret` for
/// a secret among the claims, `crypto.jwt_malformed` above 64 KiB.
///
/// # Example
/// ```rhai
/// let key = crypto::random_string(32);
/// let token = crypto::jwt_sign(#{ role: "service_role" }, key, #{ expires_in: "5m" });
/// let claims = crypto::jwt_verify(token, key);
/// assert(claims.role == "service_role");
/// assert(claims.exp - claims.iat == 300);
/// ```
#[primitive(pure)]
pub fn jwt_sign(cx: &Cx, claims: Map, key: MaybeSecret, options: SignOptions) -> Result<Secret> {
    let algorithm = algorithm(&options.algorithm)?;
    let bytes = usable(&key)?;
    if bytes.len() < hash_length(algorithm) {
        let wanted = hash_length(algorithm);
        cx.log(
            Level::Warn,
            format!(
                "a key of {} bytes is weak for {}: RFC 7518 asks for {wanted}",
                bytes.len(),
                options.algorithm
            ),
        );
    }
    document::check(KINDS, &claims.clone().into())?;

    let mut claims = numeric_dates(claims);
    let now = Timestamp::now();
    if options.issued_at && !claims.contains_key("iat") {
        claims.insert("iat".into(), now.instant().as_second().into());
    }
    if let Some(expires_in) = options.expires_in {
        claims.insert(
            "exp".into(),
            now.plus(expires_in)?.instant().as_second().into(),
        );
    }
    let mut header = options.header.unwrap_or_default();
    header.insert("alg".into(), options.algorithm.into());
    header.entry("typ".into()).or_insert_with(|| "JWT".into());

    let encode = |part: Map| URL_SAFE_NO_PAD.encode(to_json(&part.into()).to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(
        message.as_bytes(),
        &EncodingKey::from_secret(bytes),
        algorithm,
    )
    .map_err(|error| Error::new("crypto.key", format!("the key can't be used: {error}")))?;
    let token = format!("{message}.{signature}");
    if token.len() > MOST_BYTES {
        return Err(malformed("the token would be longer than 64 KiB")
            .hint("put less into the claims: an id, and look the rest up"));
    }
    let token = Secret::new(options.name, token);
    cx.redactor().add(&token);
    Ok(token)
}

fn numeric_dates(claims: Map) -> Map {
    let numeric = |value: Dynamic| match value
        .read_lock::<Timestamp>()
        .map(|at| at.instant().as_second())
    {
        Some(seconds) => seconds.into(),
        None => value,
    };
    claims
        .into_iter()
        .map(|(key, value)| (key, numeric(value)))
        .collect()
}

/// The claims of a token whose signature, times, audience and issuer are right.
///
/// A token that names an audience is refused unless `audience` says which one you are (RFC 7519).
/// The algorithm `none` is never accepted.
///
/// # Errors
/// `crypto.jwt_malformed`, `crypto.jwt_algorithm`, `crypto.jwt_signature`, `crypto.jwt_expired`,
/// `crypto.jwt_not_yet` (`nbf`), `crypto.jwt_audience`, `crypto.jwt_issuer`.
///
/// # Example
/// ```rhai
/// let token = crypto::jwt_sign(#{ sub: "42", aud: "api" }, "0123456789abcdef0123456789abcdef");
/// assert(crypto::jwt_verify(token, "0123456789abcdef0123456789abcdef", #{ audience: "api" }).sub == "42");
/// try {
///     crypto::jwt_verify(token, "another key", #{ audience: "api" });
/// } catch (err) {
///     assert(err.kind == "crypto.jwt_signature");
/// }
/// ```
#[primitive(pure)]
pub fn jwt_verify(token: MaybeSecret, key: MaybeSecret, options: VerifyOptions) -> Result<Dynamic> {
    let bytes = usable(&key)?;
    let token = Token::read(token.expose())?;
    let name = token.header["alg"].as_str().unwrap_or_default();
    let accepted = match &options.algorithms {
        None => algorithm(name).is_ok(),
        Some(names) => {
            for name in names {
                algorithm(name)?;
            }
            names.iter().any(|accepted| accepted == name)
        }
    };
    if !accepted {
        let accepted = options
            .algorithms
            .map_or("HS256, HS384, HS512".to_owned(), |names| names.join(", "));
        return Err(Error::new(
            "crypto.jwt_algorithm",
            format!("the token is signed by `{name}`, not by {accepted}"),
        )
        .hint("a token by another algorithm comes from elsewhere, or is forged"));
    }
    // RFC 7515, section 4.1.11: what a header calls critical must be understood.
    if token.header.get("crit").is_some() {
        return Err(malformed(
            "its header has critical extensions, which are not understood",
        ));
    }
    let key = DecodingKey::from_secret(bytes);
    let good = jsonwebtoken::crypto::verify(
        token.signature,
        token.message.as_bytes(),
        &key,
        algorithm(name)?,
    );
    if !good.unwrap_or(false) {
        return Err(Error::new("crypto.jwt_signature", "the signature of the token does not fit the key")
            .hint("is it the key of the same environment? is it given as text where the issuer uses its Base64 bytes?"));
    }
    token.check_times(&options)?;
    token.check_parties(&options)?;
    Ok(from_json(&token.claims))
}

/// What a token says, without asking whether it is true: `#{ header, claims }`.
///
/// For looking at a token only. Anyone can write such a token: `crypto::jwt_verify` asks.
///
/// # Errors
/// `crypto.jwt_malformed`.
///
/// # Example
/// ```rhai
/// let token = crypto::jwt_sign(#{ role: "anon" }, "0123456789abcdef0123456789abcdef");
/// let said = crypto::jwt_decode(token);
/// assert(said.header.alg == "HS256");
/// assert(said.claims.role == "anon");
/// ```
#[primitive(pure)]
pub fn jwt_decode(token: MaybeSecret) -> Result<Map> {
    let token = Token::read(token.expose())?;
    Ok(Map::from([
        ("header".into(), from_json(&token.header)),
        ("claims".into(), from_json(&token.claims)),
    ]))
}

/// The shared-key algorithm of this name. Never `none`.
fn algorithm(name: &str) -> Result<Algorithm> {
    match Algorithm::from_str(name) {
        Ok(algorithm @ (Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)) => Ok(algorithm),
        _ => Err(Error::new(
            "crypto.jwt_algorithm",
            format!("`{name}` is no algorithm with a shared key"),
        )
        .hint("it is HS256, HS384 or HS512")),
    }
}

/// The bytes that a key should have at least (RFC 7518, section 3.2).
fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

/// A token taken apart.
struct Token<'t> {
    header: Value,
    claims: Value,
    /// What is signed.
    message: &'t str,
    signature: &'t str,
}

impl<'t> Token<'t> {
    fn read(text: &'t str) -> Result<Self> {
        let text = text.trim();
        if text.len() > MOST_BYTES {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let parts = text.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            (!claims.contains('.')).then_some((message, header, claims, signature))
        });
        let Some((message, header, claims, signature)) = parts else {
            let error = malformed("it does not have three parts, joined by `.`");
            return Err(match text.get(..7) {
                Some(start) if start.eq_ignore_ascii_case("bearer ") => {
                    error.hint("leave out `Bearer `")
                }
                _ => error,
            });
        };
        Ok(Self {
            header: part(header, "header")?,
            claims: part(claims, "claims")?,
            message,
            signature,
        })
    }

    /// A time among the claims, in seconds since 1970.
    fn time(&self, name: &str) -> Result<Option<f64>> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| malformed(&format!("its `{name}` is not a number"))),
        }
    }

    fn check_times(&self, options: &VerifyOptions) -> Result<()> {
        let now = Timestamp::now();
        let seconds = now.instant().as_second() as f64;
        let leeway = options.leeway.as_secs_f64().max(0.0);
        let ago = |at: f64| {
            Timestamp::from_unix(at as i64)
                .map_or_else(|_| "long".to_owned(), |at| now.since(&at).to_string())
        };
        match self.time("exp")? {
            Some(exp) if exp + leeway <= seconds => {
                return Err(Error::new(
                    "crypto.jwt_expired",
                    format!("the token expired {} ago", ago(exp.floor())),
                )
                .hint("get a new one; if it is new, compare the clocks of both machines"));
            }
            None if options.require_expiry => {
                return Err(Error::new(
                    "crypto.jwt_expired",
                    "the token has no `exp`: it would never expire",
                ));
            }
            _ => {}
        }
        match self.time("nbf")? {
            Some(nbf) if nbf - leeway > seconds => Err(Error::new(
                "crypto.jwt_not_yet",
                "the token is not good yet",
            )
            .hint(
                "compare the clocks of both machines, or allow for them: `#{ leeway: \"30s\" }`",
            )),
            _ => Ok(()),
        }
    }

    fn check_parties(&self, options: &VerifyOptions) -> Result<()> {
        let audiences: Vec<&str> = match self.claims.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(malformed("its `aud` is not a text")),
        };
        match &options.audience {
            Some(wanted) if audiences.contains(&wanted.as_str()) => {}
            None if audiences.is_empty() => {}
            Some(wanted) => {
                return Err(Error::new(
                    "crypto.jwt_audience",
                    format!("the token is for {}, not for `{wanted}`", named(&audiences)),
                ));
            }
            None => {
                return Err(Error::new(
                    "crypto.jwt_audience",
                    format!("the token is for {}", named(&audiences)),
                )
                .hint("say for whom you verify it: `#{ audience: \"…\" }`"));
            }
        }
        let issuer = self.claims.get("iss").and_then(Value::as_str);
        match &options.issuer {
            Some(wanted) if issuer != Some(wanted) => Err(Error::new(
                "crypto.jwt_issuer",
                format!(
                    "the token is by {}, not by `{wanted}`",
                    named(issuer.as_slice())
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn named(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

fn part(text: &str, name: &str) -> Result<Value> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| malformed(&format!("its {name} are not Base64: {error}")))?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(malformed(&format!("its {name} are not a JSON object"))),
    }
}

fn malformed(why: &str) -> Error {
    Error::new(
        "crypto.jwt_malformed",
        format!("this is no JSON Web Token: {why}"),
    )
}
