//! Between script values and Rust types.

use std::any::TypeId;

use indexmap::IndexMap;
use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map};
use rust_decimal::Decimal;

use super::Object;
use super::args::Mismatch;
use super::options::OptionField;
use crate::secret::Secret;
use crate::value::{Duration, Size, Timestamp};

/// A Rust type that a script value can become.
pub trait FromArg: Sized {
    /// The name of the type in scripts and in messages.
    fn type_name() -> String;

    /// Convert, or say what does not fit.
    ///
    /// # Errors
    /// What does not fit.
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch>;

    /// The value when a call leaves it out, if it may.
    fn when_missing() -> Option<Self> {
        None
    }

    /// Whether a call may leave it out.
    fn optional() -> bool {
        Self::when_missing().is_some()
    }

    /// The keys, for an options struct.
    fn fields() -> Option<Vec<OptionField>> {
        None
    }
}

/// A Rust type that can become a script value.
pub trait IntoValue {
    /// The name of the type in scripts.
    fn type_name() -> String;
    /// Convert.
    fn into_value(self) -> Dynamic;
}

/// Bytes that a script gives as a string or as a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// A script's blob.
pub type Blob = rhai::Blob;

/// A text that may be a secret: a string or a [`Secret`].
#[derive(Debug, Clone)]
pub enum MaybeSecret {
    /// A plain string.
    Plain(String),
    /// A secret.
    Secret(Secret),
}

impl MaybeSecret {
    /// The text, for handing to another system.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// The object in a value, for `#[derive(Object)]`.
///
/// # Errors
/// If the value is something else.
pub fn object_from_arg<T: Object + FromArg>(value: Dynamic) -> Result<T, Mismatch> {
    let mismatch = Mismatch::of::<T>(&value);
    value.try_cast::<T>().ok_or(mismatch)
}

/// The types whose script name and cast are all there is to them.
macro_rules! cast_types {
    ($($ty:ty => $name:literal),* $(,)?) => {$(
        impl FromArg for $ty {
            fn type_name() -> String { $name.into() }
            fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
                let mismatch = Mismatch::of::<Self>(&value);
                value.try_cast::<$ty>().ok_or(mismatch)
            }
        }
        impl IntoValue for $ty {
            fn type_name() -> String { $name.into() }
            fn into_value(self) -> Dynamic { Dynamic::from(self) }
        }
    )*};
}

cast_types! {
    bool => "bool",
    i64 => "int",
    Map => "map",
    FnPtr => "closure",
    Secret => "Secret",
    Timestamp => "Timestamp",
    Decimal => "decimal",
}

/// The unsigned and narrow integers: an int in their range.
macro_rules! narrow_integers {
    ($($ty:ty),*) => {$(
        impl FromArg for $ty {
            fn type_name() -> String { "int".into() }
            fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
                let number = i64::from_arg(value)?;
                <$ty>::try_from(number).map_err(|_| {
                    Mismatch::Value(format!(
                        "{number} is not between {} and {}", <$ty>::MIN, <$ty>::MAX
                    ))
                })
            }
        }
        impl IntoValue for $ty {
            fn type_name() -> String { "int".into() }
            fn into_value(self) -> Dynamic {
                i64::try_from(self).map_or_else(
                    |_| Dynamic::from_decimal(Decimal::from(self)),
                    Dynamic::from,
                )
            }
        }
    )*};
}

narrow_integers!(i32, u16, u32, u64, usize);

impl FromArg for f64 {
    fn type_name() -> String {
        "float".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if let Ok(int) = value.as_int() {
            return Ok(int as Self);
        }
        value.as_float().map_err(|_| Mismatch::of::<Self>(&value))
    }
}

impl IntoValue for f64 {
    fn type_name() -> String {
        "float".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from(self)
    }
}

impl FromArg for String {
    fn type_name() -> String {
        "string".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.type_id() == TypeId::of::<Secret>() {
            return Err(Mismatch::Value(
                "a secret can't be used as plain text here (it would become visible)".into(),
            ));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        value.into_string().map_err(|_| mismatch)
    }
}

impl IntoValue for String {
    fn type_name() -> String {
        "string".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from(self)
    }
}

impl IntoValue for &str {
    fn type_name() -> String {
        "string".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from(self.to_owned())
    }
}

impl FromArg for Bytes {
    fn type_name() -> String {
        "string or blob".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_blob() {
            return value.into_blob().map(Self).map_err(|found| Mismatch::Type {
                expected: Self::type_name(),
                found: found.to_owned(),
            });
        }
        let mismatch = Mismatch::of::<Self>(&value);
        value
            .into_string()
            .map(|text| Self(text.into_bytes()))
            .map_err(|_| mismatch)
    }
}

impl FromArg for Blob {
    fn type_name() -> String {
        "blob".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let mismatch = Mismatch::of::<Self>(&value);
        value.into_blob().map_err(|_| mismatch)
    }
}

impl IntoValue for Blob {
    fn type_name() -> String {
        "blob".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from_blob(self)
    }
}

impl FromArg for MaybeSecret {
    fn type_name() -> String {
        "string or Secret".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.type_id() == TypeId::of::<Secret>() {
            return Ok(Self::Secret(Secret::from_arg(value)?));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        value.into_string().map(Self::Plain).map_err(|_| mismatch)
    }
}

impl FromArg for Duration {
    fn type_name() -> String {
        "duration".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return text
                .parse::<Self>()
                .map_err(|error| Mismatch::Value(error.to_string()));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        value.try_cast::<Self>().ok_or(mismatch)
    }
}

impl IntoValue for Duration {
    fn type_name() -> String {
        "duration".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from(self)
    }
}

impl FromArg for Size {
    fn type_name() -> String {
        "size".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return text
                .parse::<Self>()
                .map_err(|error| Mismatch::Value(error.to_string()));
        }
        if value.is_int() {
            return u64::from_arg(value).map(Self::from_bytes);
        }
        let mismatch = Mismatch::of::<Self>(&value);
        value.try_cast::<Self>().ok_or(mismatch)
    }
}

impl IntoValue for Size {
    fn type_name() -> String {
        "size".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::from(self)
    }
}

impl FromArg for Dynamic {
    fn type_name() -> String {
        "any".into()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl IntoValue for Dynamic {
    fn type_name() -> String {
        "any".into()
    }
    fn into_value(self) -> Dynamic {
        self
    }
}

impl IntoValue for ImmutableString {
    fn type_name() -> String {
        "string".into()
    }
    fn into_value(self) -> Dynamic {
        self.into()
    }
}

impl IntoValue for () {
    fn type_name() -> String {
        "()".into()
    }
    fn into_value(self) -> Dynamic {
        Dynamic::UNIT
    }
}

impl IntoValue for serde_json::Value {
    fn type_name() -> String {
        "any".into()
    }
    fn into_value(self) -> Dynamic {
        crate::value::from_json(&self)
    }
}

impl<T: FromArg> FromArg for Option<T> {
    fn type_name() -> String {
        T::type_name()
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_unit() {
            Ok(None)
        } else {
            T::from_arg(value).map(Some)
        }
    }
    fn when_missing() -> Option<Self> {
        Some(None)
    }
    fn fields() -> Option<Vec<OptionField>> {
        T::fields()
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn type_name() -> String {
        format!("{} or ()", T::type_name())
    }
    fn into_value(self) -> Dynamic {
        self.map_or(Dynamic::UNIT, IntoValue::into_value)
    }
}

impl<T: FromArg> FromArg for IndexMap<String, T> {
    fn type_name() -> String {
        format!("map of {}", T::type_name())
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        Map::from_arg(value)?
            .into_iter()
            .map(|(key, value)| match T::from_arg(value) {
                Ok(value) => Ok((key.to_string(), value)),
                Err(m) => Err(m.inside(key.to_string())),
            })
            .collect()
    }
}

impl<T: IntoValue> IntoValue for IndexMap<String, T> {
    fn type_name() -> String {
        format!("map of {}", T::type_name())
    }
    fn into_value(self) -> Dynamic {
        self.into_iter()
            .map(|(key, value)| (key.into(), value.into_value()))
            .collect::<Map>()
            .into()
    }
}

/// The element types of the arrays that primitives take and give. A blanket `Vec<T>` would also
/// claim `Vec<u8>`, which is a blob.
pub trait Element {}

impl Element for bool {}
impl Element for i64 {}
impl Element for f64 {}
impl Element for u16 {}
impl Element for String {}
impl Element for Dynamic {}
impl Element for Map {}
impl Element for FnPtr {}
impl Element for Bytes {}
impl Element for MaybeSecret {}
impl Element for Duration {}
impl Element for Size {}
impl Element for Timestamp {}
impl<T: Object> Element for T {}

impl<T: FromArg + Element> FromArg for Vec<T> {
    fn type_name() -> String {
        match T::type_name().as_str() {
            "any" => "array".into(),
            element => format!("array of {element}"),
        }
    }
    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let mismatch = Mismatch::of::<Self>(&value);
        let items = value.try_cast::<Array>().ok_or(mismatch)?;
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| T::from_arg(item).map_err(|m| m.inside(format!("[{index}]"))))
            .collect()
    }
}

impl<T: IntoValue + Element> IntoValue for Vec<T> {
    fn type_name() -> String {
        match T::type_name().as_str() {
            "any" => "array".into(),
            element => format!("array of {element}"),
        }
    }
    fn into_value(self) -> Dynamic {
        self.into_iter()
            .map(IntoValue::into_value)
            .collect::<Array>()
            .into()
    }
}
