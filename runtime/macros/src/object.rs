//! `#[derive(Object)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, Path};

use crate::doc;

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let mut name = ident.to_string();
    let mut describe = quote!(::std::string::String::from(
        <Self as ::ccrun_kernel::Object>::NAME
    ));
    for attribute in &input.attrs {
        if !attribute.path().is_ident("object") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
                Ok(())
            } else if meta.path.is_ident("describe") {
                let text = meta.value()?.parse::<LitStr>()?;
                let path: Path = text.parse()?;
                describe = quote!(#path(self));
                Ok(())
            } else {
                Err(meta.error("`name = \"…\"` or `describe = \"path::to::fn\"`"))
            }
        })?;
    }
    let text = doc::text(&input.attrs);
    let (impls, types, wheres) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impls ::ccrun_kernel::Object for #ident #types #wheres {
            const NAME: &'static str = #name;
            const DOC: &'static str = #text;
            fn describe(&self) -> ::std::string::String { #describe }
        }

        impl #impls ::ccrun_kernel::FromArg for #ident #types #wheres {
            fn type_name() -> ::std::string::String { #name.into() }
            fn from_arg(
                value: ::ccrun_kernel::rhai::Dynamic,
            ) -> ::std::result::Result<Self, ::ccrun_kernel::Mismatch> {
                ::ccrun_kernel::object_from_arg(value)
            }
        }

        impl #impls ::ccrun_kernel::IntoValue for #ident #types #wheres {
            fn type_name() -> ::std::string::String { #name.into() }
            fn into_value(self) -> ::ccrun_kernel::rhai::Dynamic {
                ::ccrun_kernel::rhai::Dynamic::from(self)
            }
        }
    })
}
