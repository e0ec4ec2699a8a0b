//! Large to small, and upright.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;
use image::metadata::Orientation;
use saggar_plugin::{Error, OrFail};

use crate::size::Target;
use crate::source::Picture;

/// Sharp, and without the dark seams that Lanczos draws along hard edges; two thirds of its fuel.
const FILTER: FilterType = FilterType::CatmullRom;

/// Resizes and then turns the picture upright, which costs less in this order. A crop takes the middle.
pub fn shrink(picture: Picture, target: Target) -> Result<Picture, Error> {
    let Picture { pixels, orientation, profile } = picture;
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FILTER));
    if target.crop {
        options = options.fit_into_destination(Some((0.5, 0.5)));
    }
    let mut small = DynamicImage::new(target.size.width, target.size.height, pixels.color());
    Resizer::new().resize(&pixels, &mut small, &options).or_reject("the picture cannot be resized")?;
    // A large one is not needed any more, and the thumbnail may need a copy of itself from here on.
    drop(pixels);
    small.apply_orientation(orientation);
    Ok(Picture { pixels: small, orientation: Orientation::NoTransforms, profile })
}
