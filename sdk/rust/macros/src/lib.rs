//! The `#[handler]` attribute. Use it through `saggar_plugin`, where it is documented.

mod expansion;
mod signature;

use proc_macro::TokenStream;

/// Makes a function the plugin's handler; see `saggar_plugin::handler`.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expansion::expand(arguments.into(), item.into()).into()
}
