//! `#[primitive]`.

use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Expr, FnArg, Ident, ItemFn, LitStr, Pat, Path, ReturnType, Token, Type};

use crate::doc;

/// What stands in the parentheses of `#[primitive(…)]`.
pub struct Attribute {
    effect: Ident,
    getter: bool,
    volatile: bool,
    name: Option<String>,
    needs: Vec<Need>,
    preview: Option<Path>,
    undo: Option<String>,
}

/// `needs = capability(resource)`, or `needs = read capability(resource)` for a part of a change that
/// only reads.
struct Need {
    effect: Option<Ident>,
    capability: String,
    resource: Expr,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let effect: Ident = input.parse()?;
        if !["pure", "read", "change"].contains(&effect.to_string().as_str()) {
            return Err(syn::Error::new(
                effect.span(),
                "the effect is `pure`, `read` or `change`",
            ));
        }
        let mut attribute = Self {
            effect,
            getter: false,
            volatile: false,
            name: None,
            needs: Vec::new(),
            preview: None,
            undo: None,
        };
        while input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "get" => attribute.getter = true,
                "volatile" => attribute.volatile = true,
                other => {
                    input.parse::<Token![=]>()?;
                    match other {
                        "name" => attribute.name = Some(input.parse::<LitStr>()?.value()),
                        "undo" => attribute.undo = Some(input.parse::<LitStr>()?.value()),
                        "preview" => attribute.preview = Some(input.parse()?),
                        "needs" => {
                            let mut capability: Ident = input.parse()?;
                            let mut effect = None;
                            if input.peek(Ident) {
                                if capability != "read" && capability != "change" {
                                    return Err(syn::Error::new(
                                        capability.span(),
                                        "`read` or `change`, then the capability",
                                    ));
                                }
                                effect = Some(capability);
                                capability = input.parse()?;
                            }
                            let inside;
                            syn::parenthesized!(inside in input);
                            attribute.needs.push(Need {
                                effect,
                                capability: capability.to_string(),
                                resource: inside.parse()?,
                            });
                        }
                        _ => {
                            return Err(syn::Error::new(
                                key.span(),
                                "`get`, `volatile`, `name`, `needs`, `preview` or `undo`",
                            ));
                        }
                    }
                }
            }
        }
        if attribute.effect != "pure" && attribute.needs.is_empty() {
            return Err(syn::Error::new(
                attribute.effect.span(),
                "a primitive that reads or changes the world says what it `needs`",
            ));
        }
        Ok(attribute)
    }
}

/// A parameter of the function that a script gives.
struct Parameter {
    ident: Ident,
    ty: Type,
}

/// How the function's signature maps to what scripts call.
struct Signature {
    method: bool,
    takes_cx: bool,
    takes_caller: bool,
    parameters: Vec<Parameter>,
    /// The arguments of the Rust call, in order.
    arguments: Vec<TokenStream>,
}

impl Signature {
    fn read(function: &ItemFn) -> syn::Result<Self> {
        let mut signature = Self {
            method: false,
            takes_cx: false,
            takes_caller: false,
            parameters: Vec::new(),
            arguments: Vec::new(),
        };
        for input in &function.sig.inputs {
            match input {
                FnArg::Receiver(receiver) => {
                    if receiver.reference.is_none() || receiver.mutability.is_some() {
                        return Err(syn::Error::new_spanned(
                            receiver,
                            "a method of a script object takes `&self`: objects are shared handles",
                        ));
                    }
                    signature.method = true;
                    signature.arguments.push(quote!(&__this));
                }
                FnArg::Typed(typed) => {
                    let Pat::Ident(pattern) = &*typed.pat else {
                        return Err(syn::Error::new_spanned(&typed.pat, "a plain name"));
                    };
                    match reference_to(&typed.ty).as_deref() {
                        Some("Cx") => {
                            signature.takes_cx = true;
                            signature.arguments.push(quote!(__cx));
                        }
                        Some("Caller") => {
                            signature.takes_caller = true;
                            signature.arguments.push(quote!(__caller));
                        }
                        Some(_) => {
                            return Err(syn::Error::new_spanned(
                                &typed.ty,
                                "parameters are owned; only `&Cx` and `&Caller` are references",
                            ));
                        }
                        None => {
                            let ident = &pattern.ident;
                            signature.arguments.push(quote!(#ident));
                            signature.parameters.push(Parameter {
                                ident: ident.clone(),
                                ty: (*typed.ty).clone(),
                            });
                        }
                    }
                }
            }
        }
        if signature.takes_caller && function.sig.asyncness.is_some() {
            return Err(syn::Error::new_spanned(
                &function.sig,
                "a function that calls back into the script is not async: use `cx.block_on`",
            ));
        }
        Ok(signature)
    }
}

pub fn expand(attribute: &Attribute, function: &ItemFn) -> syn::Result<TokenStream> {
    let docs = doc::text(&function.attrs);
    if docs.is_empty() {
        return Err(syn::Error::new_spanned(
            &function.sig.ident,
            "a primitive has a doc comment: it is what `ccrun doc` shows",
        ));
    }
    let signature = Signature::read(function)?;
    let rust_name = &function.sig.ident;
    let script_name = attribute
        .name
        .clone()
        .unwrap_or_else(|| rust_name.to_string().trim_start_matches("r#").to_owned());
    let describe = format_ident!("__primitive_{}", rust_name);
    let effect = match attribute.effect.to_string().as_str() {
        "pure" => quote!(Pure),
        "read" => quote!(Read),
        _ => quote!(Change),
    };
    let receiver = if signature.method {
        quote!(::std::option::Option::Some(::ccrun_kernel::Receiver::of::<
            Self,
        >()))
    } else {
        quote!(::std::option::Option::None)
    };
    let kind = match (attribute.getter, signature.method) {
        (true, true) => quote!(Getter),
        (false, true) => quote!(Method),
        (true, false) => {
            return Err(syn::Error::new_spanned(
                rust_name,
                "`get` belongs to a method",
            ));
        }
        (false, false) => quote!(Function),
    };
    let params = signature.parameters.iter().map(|Parameter { ident, ty }| {
        let name = ident.to_string();
        quote!(::ccrun_kernel::Param::of::<#ty>(#name))
    });
    let capabilities = attribute.needs.iter().map(|need| {
        let capability = &need.capability;
        let index = match &need.resource {
            Expr::Path(path) => path
                .path
                .get_ident()
                .and_then(|ident| signature.parameters.iter().position(|p| p.ident == *ident)),
            _ => None,
        };
        let index = match index {
            Some(index) => quote!(::std::option::Option::Some(#index)),
            None => quote!(::std::option::Option::None),
        };
        let effect = match &need.effect {
            None => effect.clone(),
            Some(own) if own == "read" => quote!(Read),
            Some(_) => quote!(Change),
        };
        quote!(::ccrun_kernel::Capability {
            name: #capability,
            effect: ::ccrun_kernel::effect::Effect::#effect,
            parameter: #index,
        })
    });
    let (returned, fallible) = return_type(&function.sig.output);
    let undo = match &attribute.undo {
        Some(text) => quote!(::std::option::Option::Some(#text)),
        None => quote!(::std::option::Option::None),
    };
    let volatile = attribute.volatile;
    let prepare = prepare(attribute, function, &signature, fallible);

    Ok(quote! {
        #function

        #[doc(hidden)]
        pub fn #describe() -> ::ccrun_kernel::Primitive {
            ::ccrun_kernel::Primitive {
                namespace: "",
                name: #script_name,
                kind: ::ccrun_kernel::PrimitiveKind::#kind,
                receiver: #receiver,
                params: ::std::vec![#(#params),*],
                returns: <#returned as ::ccrun_kernel::IntoValue>::type_name(),
                doc: ::ccrun_kernel::Doc::parse(#docs),
                effect: ::ccrun_kernel::effect::Effect::#effect,
                capabilities: ::std::vec![#(#capabilities),*],
                undo: #undo,
                volatile: #volatile,
                prepare: #prepare,
            }
        }
    })
}

/// The function that decodes the arguments and makes the pending call.
fn prepare(
    attribute: &Attribute,
    function: &ItemFn,
    signature: &Signature,
    fallible: bool,
) -> TokenStream {
    let rust_name = &function.sig.ident;
    let decode_this = signature
        .method
        .then(|| quote!(let __this: Self = __args.receiver()?;));
    let decode = signature.parameters.iter().enumerate().map(|(index, p)| {
        let Parameter { ident, ty } = p;
        let name = ident.to_string();
        quote!(let #ident: #ty = __args.take(#index, #name)?;)
    });
    let needs = attribute.needs.iter().map(|need| {
        let capability = &need.capability;
        let resource = &need.resource;
        let resource = replace_self(quote!(#resource));
        let effect = match &need.effect {
            None => quote!(::std::option::Option::None),
            Some(effect) if effect == "read" => {
                quote!(::std::option::Option::Some(
                    ::ccrun_kernel::effect::Effect::Read
                ))
            }
            Some(_) => quote!(::std::option::Option::Some(
                ::ccrun_kernel::effect::Effect::Change
            )),
        };
        quote!(::ccrun_kernel::Need::new(#capability, (#resource).to_string(), #effect))
    });
    let preview = match &attribute.preview {
        None => quote!(::std::option::Option::None),
        Some(path) => {
            let names: Vec<_> = signature.parameters.iter().map(|p| &p.ident).collect();
            let this = signature
                .method
                .then(|| quote!(let __this = __this.clone();));
            let this_argument = signature.method.then(|| quote!(&__this,));
            quote! {
                if __args.wants_preview() {
                    #this
                    #(let #names = #names.clone();)*
                    ::std::option::Option::Some(::std::boxed::Box::new(
                        move |__cx: ::ccrun_kernel::Cx| -> ::ccrun_kernel::BoxFuture<
                            'static,
                            ::ccrun_kernel::Result<::ccrun_kernel::Preview>,
                        > {
                            ::std::boxed::Box::pin(async move {
                                #path(#this_argument &__cx, #(&#names),*).await
                            })
                        },
                    ))
                } else {
                    ::std::option::Option::None
                }
            }
        }
    };
    let callee = if signature.method {
        quote!(Self::#rust_name)
    } else {
        // By its path: a parameter may have the function's own name.
        quote!(self::#rust_name)
    };
    let arguments = &signature.arguments;
    let finish = |call: TokenStream| {
        if fallible {
            quote!(#call.map(::ccrun_kernel::IntoValue::into_value))
        } else {
            quote!(::std::result::Result::Ok(::ccrun_kernel::IntoValue::into_value(#call)))
        }
    };
    let run = if function.sig.asyncness.is_some() {
        let call = finish(quote!(#callee(#(#arguments),*).await));
        let lend = signature.takes_cx.then(|| quote!(let __cx = &__cx;));
        quote! {
            ::ccrun_kernel::Invocation::Async(::std::boxed::Box::new(
                move |__cx: ::ccrun_kernel::Cx| -> ::ccrun_kernel::BoxFuture<
                    'static,
                    ::ccrun_kernel::Result<::ccrun_kernel::rhai::Dynamic>,
                > {
                    ::std::boxed::Box::pin(async move { #lend #call })
                },
            ))
        }
    } else {
        let call = finish(quote!(#callee(#(#arguments),*)));
        quote! {
            ::ccrun_kernel::Invocation::Plain(::std::boxed::Box::new(
                move |__cx: &::ccrun_kernel::Cx, __caller: &::ccrun_kernel::Caller<'_>| #call
            ))
        }
    };
    quote! {
        |mut __args: ::ccrun_kernel::Args| {
            #decode_this
            #(#decode)*
            ::std::result::Result::Ok(::ccrun_kernel::Call {
                needs: ::std::vec![#(#needs),*],
                preview: #preview,
                invocation: #run,
            })
        }
    }
}

/// The name of `T` in `&T`.
fn reference_to(ty: &Type) -> Option<String> {
    let Type::Reference(reference) = ty else {
        return None;
    };
    match &*reference.elem {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
        _ => Some(String::new()),
    }
}

/// The type that scripts receive, and whether it comes in a `Result`.
fn return_type(output: &ReturnType) -> (TokenStream, bool) {
    let ReturnType::Type(_, ty) = output else {
        return (quote!(()), false);
    };
    if let Type::Path(path) = &**ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(syn::GenericArgument::Type(inner)) = arguments.args.first()
    {
        return (quote!(#inner), true);
    }
    (quote!(#ty), false)
}

/// `self` inside a `needs` expression means the receiver of the generated call.
fn replace_self(tokens: TokenStream) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if ident == "self" => {
                TokenTree::Ident(Ident::new("__this", ident.span()))
            }
            TokenTree::Group(group) => {
                let mut inner =
                    proc_macro2::Group::new(group.delimiter(), replace_self(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other => other,
        })
        .collect()
}
