//! The properties and methods of a Secret.
//!
//! The type belongs to the kernel, so they are written as functions whose first parameter is the
//! secret, and turned into methods here.

use ccrun_kernel::secret::Secret;
use ccrun_kernel::{
    Args, Call, IntoValue, Invocation, MaybeSecret, Primitive, PrimitiveKind, Receiver, Result,
    primitive, primitives,
};
use sha2::{Digest, Sha256};

/// Decodes the arguments and makes the call.
type Prepare = fn(Args) -> Result<Call>;

/// All of them.
pub fn all() -> Vec<Primitive> {
    let prepare: [(PrimitiveKind, Prepare); 6] = [
        (PrimitiveKind::Getter, |args| {
            on(args, |secret, _| Ok(name(secret).into_value()))
        }),
        (PrimitiveKind::Getter, |args| {
            on(args, |secret, _| Ok(len(secret).into_value()))
        }),
        (PrimitiveKind::Method, |args| {
            on(args, |secret, _| Ok(fingerprint(secret).into_value()))
        }),
        (PrimitiveKind::Method, |args| {
            on(args, |secret, args| {
                Ok(matches(secret, args.take(0, "other")?).into_value())
            })
        }),
        (PrimitiveKind::Method, |args| {
            on(args, |secret, args| {
                Ok(matches(secret, args.take(0, "other")?).into_value())
            })
        }),
        (PrimitiveKind::Method, |args| {
            on(args, |secret, args| {
                Ok((!matches(secret, args.take(0, "other")?)).into_value())
            })
        }),
    ];
    let described = primitives![name, len, fingerprint, matches, equal, differs];
    described
        .into_iter()
        .zip(prepare)
        .map(|(described, (kind, prepare))| method(described, kind, prepare))
        .collect()
}

fn method(mut described: Primitive, kind: PrimitiveKind, prepare: Prepare) -> Primitive {
    described.params.remove(0);
    Primitive {
        kind,
        receiver: Some(Receiver::of::<Secret>()),
        prepare,
        ..described
    }
}

fn on(
    mut args: Args,
    work: fn(Secret, &mut Args) -> Result<ccrun_kernel::rhai::Dynamic>,
) -> Result<Call> {
    let secret: Secret = args.receiver()?;
    let value = work(secret, &mut args)?;
    Ok(Call {
        needs: Vec::new(),
        preview: None,
        invocation: Invocation::Plain(Box::new(move |_, _| Ok(value))),
    })
}

/// Its name.
///
/// # Example
/// ```rhai
/// assert(secret::generate(32, #{ name: "API_TOKEN" }).name == "API_TOKEN");
/// ```
#[primitive(pure)]
fn name(secret: Secret) -> String {
    secret.name().to_owned()
}

/// The number of its bytes.
///
/// # Example
/// ```rhai
/// assert(secret::generate(32).len == 32);
/// ```
#[primitive(pure)]
fn len(secret: Secret) -> usize {
    secret.len()
}

/// The first 12 digits of its SHA-256: for seeing whether two machines have the same one.
///
/// A short or guessable secret can be found by trying, so do not publish it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let token = secret::generate(32);
/// assert(token.fingerprint().len() == 12);
/// assert(token.fingerprint() != secret::generate(32).fingerprint());
/// ```
#[primitive(pure)]
fn fingerprint(secret: Secret) -> String {
    let mut text = hex::encode(Sha256::digest(secret.expose()));
    text.truncate(12);
    text
}

/// Whether another secret, or a string, has the same text, in a time that does not tell where they
/// differ.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let token = secret::generate(32);
/// assert(token.matches(token));
/// assert(!token.matches("guess"));
/// ```
#[primitive(pure)]
fn matches(secret: Secret, other: MaybeSecret) -> bool {
    secret == Secret::new("other", other.expose())
}

/// Whether another secret, or a string, has the same text: `a == b`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let token = secret::generate(32);
/// assert(token == token);
/// ```
#[primitive(pure, name = "==")]
fn equal(secret: Secret, other: MaybeSecret) -> bool {
    matches(secret, other)
}

/// Whether another secret, or a string, has another text: `a != b`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(secret::generate(32) != secret::generate(32));
/// ```
#[primitive(pure, name = "!=")]
fn differs(secret: Secret, other: MaybeSecret) -> bool {
    !matches(secret, other)
}
