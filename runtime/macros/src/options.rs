//! `#[derive(Options)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr};

use crate::doc;

pub fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(ident, "options are a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(ident, "options have named fields"));
    };

    let mut described = Vec::new();
    let mut taken = Vec::new();
    for field in &fields.named {
        let Some(name) = &field.ident else { continue };
        let ty = &field.ty;
        let text = doc::text(&field.attrs);
        if text.is_empty() {
            return Err(syn::Error::new_spanned(
                field,
                "say in a doc comment what the option is for",
            ));
        }
        let mut key = name.to_string().trim_start_matches("r#").to_owned();
        let mut default = quote!(::std::option::Option::None);
        for attribute in &field.attrs {
            if !attribute.path().is_ident("option") {
                continue;
            }
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    let text = meta.value()?.parse::<LitStr>()?;
                    default = quote!(::std::option::Option::Some(#text));
                    Ok(())
                } else if meta.path.is_ident("name") {
                    key = meta.value()?.parse::<LitStr>()?.value();
                    Ok(())
                } else {
                    Err(meta.error("`default = \"…\"` or `name = \"…\"`"))
                }
            })?;
        }
        described.push(quote! {
            ::ccrun_kernel::OptionField::of::<#ty>(#key, #text, #default)
        });
        taken.push(quote!(#name: reader.take::<#ty>(#key, #default)?));
    }

    Ok(quote! {
        impl ::ccrun_kernel::FromArg for #ident {
            fn type_name() -> ::std::string::String { "map".into() }
            fn fields() -> ::std::option::Option<::std::vec::Vec<::ccrun_kernel::OptionField>> {
                ::std::option::Option::Some(::std::vec![#(#described),*])
            }
            fn from_arg(
                value: ::ccrun_kernel::rhai::Dynamic,
            ) -> ::std::result::Result<Self, ::ccrun_kernel::Mismatch> {
                let mut reader = ::ccrun_kernel::OptionReader::new::<Self>(value)?;
                ::std::result::Result::Ok(Self { #(#taken),* })
            }
            fn when_missing() -> ::std::option::Option<Self> {
                Self::from_arg(::ccrun_kernel::rhai::Dynamic::from(
                    ::ccrun_kernel::rhai::Map::new(),
                ))
                .ok()
            }
            fn optional() -> bool {
                Self::fields()
                    .is_some_and(|fields| fields.iter().all(|field| !field.required))
            }
        }
    })
}
