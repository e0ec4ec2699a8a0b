//! What of a function matters to the attribute: its name, its argument's type, its return type.
//!
//! Everything that cannot be a handler is refused here, at the words to blame, with what to do instead. Whether the
//! types fit is left to the compiler: the traits `FromInput` and `IntoOutput` carry messages of their own.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, Result, ReturnType, Safety, Type, parse_quote};

pub struct Signature {
    pub name: Ident,
    pub argument: Option<Type>,
    pub returned: Type,
}

impl Signature {
    pub fn of(function: &ItemFn) -> Result<Self> {
        let signature = &function.sig;
        if let Some(word) = &signature.asyncness {
            return refuse(
                word,
                "a handler cannot be `async`: a task runs alone in its sandbox, so waiting may block",
            );
        }
        if let Safety::Unsafe(word) = &signature.safety {
            return refuse(word, "a handler cannot be `unsafe`: the host calls it with any payload");
        }
        if let Some(word) = &signature.abi {
            return refuse(word, "a handler is an ordinary Rust function; remove the `extern`");
        }
        if !signature.generics.params.is_empty() {
            return refuse(
                &signature.generics,
                "a handler cannot be generic: the host knows bytes only, so name the types",
            );
        }
        if let Some(second) = signature.inputs.iter().nth(1) {
            return refuse(
                second,
                "a handler takes one argument, the task's payload; ask `saggar_plugin::context` for everything else",
            );
        }
        Ok(Self {
            name: signature.ident.clone(),
            argument: signature.inputs.first().map(argument).transpose()?,
            returned: returned(&signature.output),
        })
    }
}

fn argument(argument: &FnArg) -> Result<Type> {
    match argument {
        FnArg::Receiver(receiver) => {
            refuse(receiver, "a handler cannot be a method: make it a function of its own")
        }
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(ty) => refuse(
                ty,
                "a handler owns its payload: take `Vec<u8>` instead of `&[u8]`, `String` instead of `&str`",
            ),
            Type::ImplTrait(ty) => {
                refuse(ty, "a handler cannot be generic: the host knows bytes only, so name the type")
            }
            ty => Ok(ty.clone()),
        },
    }
}

/// `impl Trait` cannot be named, so it is left to inference.
fn returned(output: &ReturnType) -> Type {
    match output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => parse_quote!(_),
        ReturnType::Type(_, ty) => (**ty).clone(),
    }
}

fn refuse<T>(blame: &(impl ToTokens + Spanned), message: &str) -> Result<T> {
    Err(Error::new_spanned(blame, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn refusal(function: ItemFn) -> String {
        Signature::of(&function).err().expect("the function was taken for a handler").to_string()
    }

    /// Name, argument and return type, as text.
    fn parts(function: ItemFn) -> [String; 3] {
        let Ok(Signature { name, argument, returned }) = Signature::of(&function) else {
            panic!("the function was refused");
        };
        [quote!(#name), quote!(#argument), quote!(#returned)].map(|tokens| tokens.to_string())
    }

    #[test]
    fn name_argument_and_return_type_are_found() {
        let parts = parts(parse_quote!(
            fn greet(Json(name): Json<Name>) -> String {}
        ));
        assert_eq!(parts, ["greet", "Json < Name >", "String"]);
    }

    #[test]
    fn neither_argument_nor_return_type_is_needed() {
        assert_eq!(
            parts(parse_quote!(
                fn tick() {}
            )),
            ["tick", "", "()"]
        );
    }

    #[test]
    fn a_return_type_without_a_name_is_left_to_inference() {
        assert_eq!(
            parts(parse_quote!(
                fn tick() -> impl IntoOutput {}
            )),
            ["tick", "", "_"]
        );
    }

    #[test]
    fn an_async_handler_is_refused() {
        assert!(
            refusal(parse_quote!(
                async fn f() {}
            ))
            .contains("cannot be `async`")
        );
    }

    #[test]
    fn an_unsafe_or_extern_handler_is_refused() {
        assert!(
            refusal(parse_quote!(
                unsafe fn f() {}
            ))
            .contains("cannot be `unsafe`")
        );
        assert!(
            refusal(parse_quote!(
                extern "C" fn f() {}
            ))
            .contains("remove the `extern`")
        );
    }

    #[test]
    fn a_generic_handler_is_refused() {
        assert!(
            refusal(parse_quote!(
                fn f<T>(input: T) {}
            ))
            .contains("cannot be generic")
        );
        assert!(
            refusal(parse_quote!(
                fn f(input: impl Into<String>) {}
            ))
            .contains("name the type")
        );
    }

    #[test]
    fn a_second_argument_is_refused() {
        assert!(
            refusal(parse_quote!(
                fn f(a: String, b: String) {}
            ))
            .contains("takes one argument")
        );
    }

    #[test]
    fn a_method_is_refused() {
        assert!(
            refusal(parse_quote!(
                fn f(&self) {}
            ))
            .contains("cannot be a method")
        );
    }

    #[test]
    fn a_borrowed_payload_is_refused_with_the_owned_type() {
        assert!(
            refusal(parse_quote!(
                fn f(input: &[u8]) {}
            ))
            .contains("take `Vec<u8>`")
        );
    }
}
