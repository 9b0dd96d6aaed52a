//! The macros with which a primitive is declared once.
//!
//! [`macro@primitive`] turns an ordinary Rust function into a primitive of the script language,
//! [`macro@Options`] a struct into the options map of one, [`macro@Object`] a handle into a type
//! that scripts can hold, and [`primitives!`] lists what a namespace registers. A primitive that is
//! declared but not listed is dead code, which the compiler points out.

mod doc;
mod object;
mod options;
mod primitive;

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::punctuated::Punctuated;
use syn::{DeriveInput, ItemFn, Path, Token, parse_macro_input};

/// Declare a primitive: `#[primitive(change, needs = docker(self.name), preview = plan_restart)]`.
///
/// The function stays as written. Beside it appears a hidden function that describes it
/// (`ccrun_kernel::Primitive`): name, parameters, types, documentation, effect, permissions, and how
/// to call it. The arguments are:
///
/// - the effect, first: `pure`, `read` or `change`;
/// - `needs = capability(expression)`, once per permission: the expression names the resource and
///   may use `self` and the parameters;
/// - `preview = path`: an async function that says what the change would do;
/// - `undo = "text"`: how an operator takes the change back;
/// - `get` for a property of an object, `volatile` for a read whose answer changes by itself (it is
///   left out when a saved plan is compared with the world), `name = "…"` for another script name.
#[proc_macro_attribute]
pub fn primitive(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let attribute = parse_macro_input!(attribute as primitive::Attribute);
    let function = parse_macro_input!(item as ItemFn);
    primitive::expand(&attribute, &function)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Derive the reading of an options struct from a script map.
#[proc_macro_derive(Options, attributes(option))]
pub fn options(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    options::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Derive what makes a cheap, cloneable handle usable as a value of scripts.
#[proc_macro_derive(Object, attributes(object))]
pub fn object(item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    object::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// The descriptions of the listed primitives: `primitives![list, Container::restart]`.
#[proc_macro]
pub fn primitives(input: TokenStream) -> TokenStream {
    let paths = parse_macro_input!(input with Punctuated::<Path, Token![,]>::parse_terminated);
    let described = paths.into_iter().map(|mut path| {
        if let Some(last) = path.segments.last_mut() {
            last.ident = format_ident!("__primitive_{}", last.ident);
        }
        quote!(#path())
    });
    quote!(::std::vec![#(#described),*]).into()
}
