//! What the attribute leaves behind: the function as it was, and its export.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result};

use crate::signature::Signature;

/// Never fails: a refusal becomes a `compile_error!` beside the untouched item, so that the compiler does not complain
/// about a missing function as well.
pub fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let export = export(arguments, item.clone()).unwrap_or_else(Error::into_compile_error);
    quote! { #item #export }
}

fn export(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[handler]` takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|_| Error::new_spanned(item, "`#[handler]` belongs on a function"))?;
    let Signature { name, argument, returned } = Signature::of(&function)?;
    let run = if let Some(argument) = argument {
        quote! { run_with_argument::<#argument, #returned> }
    } else {
        quote! { run_without_argument::<#returned> }
    };
    Ok(quote! {
        const _: () = {
            fn handle(
                payload: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<::saggar_plugin::Output, ::saggar_plugin::Error> {
                ::saggar_plugin::expansion::#run(#name, payload)
            }
            ::saggar_plugin::export_handler!(handle);
        };
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: TokenStream, item: TokenStream) -> String {
        expand(arguments, item).to_string()
    }

    #[test]
    fn the_function_stays_as_it_is_and_an_export_follows() {
        let function = quote! { #[doc = "Greets."] pub fn greet(name: String) -> String { name } };
        let text = expanded(quote!(), function.clone());
        assert!(text.starts_with(&function.to_string()), "{text}");
        assert!(text.contains("run_with_argument :: < String , String > (greet , payload)"), "{text}");
    }

    #[test]
    fn a_refused_function_is_kept_beside_the_error() {
        let text = expanded(quote!(), quote! { async fn greet() {} });
        assert!(text.starts_with("async fn greet () { }") && text.contains("compile_error !"), "{text}");
        assert!(!text.contains("export_handler"), "{text}");
    }

    #[test]
    fn anything_but_a_function_is_refused() {
        assert!(expanded(quote!(), quote! { struct Greeting; }).contains("belongs on a function"));
    }

    #[test]
    fn arguments_of_the_attribute_are_refused() {
        assert!(expanded(quote!(json), quote! { fn greet() {} }).contains("takes no arguments"));
    }
}
