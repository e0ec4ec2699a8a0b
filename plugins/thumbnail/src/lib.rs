//! Makes thumbnails: JPEG, PNG or WebP in, a smaller one of the three out.
//!
//! The way of a picture: `request` finds the bytes and the parameters, `source` reads what the file says about
//! itself, `size` decides how large the thumbnail gets, `source` decodes, `shrink` resizes and turns, `encode` writes.

mod encode;
mod format;
mod jpeg;
mod parameters;
mod request;
mod shrink;
mod size;
mod source;

use saggar_plugin::{Error, Output, handler, log};

use request::Request;
use source::Source;

#[handler]
fn thumbnail(payload: Vec<u8>) -> Result<Output, Error> {
    let Request { image, parameters } = Request::read(payload)?;
    let source = Source::open(&image)?;
    let (from, given) = (source.stored_size(), source.format());
    // The box is meant for the picture as people see it, the file may hold it lying on its side.
    let turned = source.is_turned();
    let target = parameters.target(from.turned_if(turned)).turned_if(turned);
    let format = parameters.format.unwrap_or(given);
    log::info!("{given} of {from} becomes {format} of {}", target.size.turned_if(turned));

    let small = shrink::shrink(source.decode(target.size)?, target)?;
    encode::encode(small, format, parameters.quality)
}

#[cfg(test)]
mod tests;
