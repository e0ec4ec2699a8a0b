//! A picture made smaller: decoded, resized, encoded.

use std::io::Cursor;

use image::imageops::{FilterType, resize as resample};
use image::{ImageFormat, Rgb, RgbImage};

/// A small photograph.
const SIZE: (u32, u32) = (640, 480);

/// A thumbnail of it.
const SMALL: (u32, u32) = (160, 120);

/// A PNG of soft colours with some grain, as a photograph has them: it compresses, but not to nothing.
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn picture() -> Vec<u8> {
    let mut state = 1_u32;
    let picture = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = state >> 29;
        Rgb([x * 255 / SIZE.0, y * 255 / SIZE.1, (x + y) / 5].map(|colour| (colour + grain).min(255) as u8))
    });
    encoded(&picture)
}

/// The PNG in `png`, a quarter as wide and high, as PNG.
///
/// # Panics
/// `png` is no PNG.
#[must_use]
pub fn resize(png: &[u8]) -> Vec<u8> {
    let picture = image::load_from_memory_with_format(png, ImageFormat::Png).expect("a PNG").into_rgb8();
    encoded(&resample(&picture, SMALL.0, SMALL.1, FilterType::Triangle))
}

fn encoded(picture: &RgbImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("memory takes what is written");
    png.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_becomes_a_quarter_as_wide_and_high() {
        let small = image::load_from_memory(&resize(&picture())).expect("a PNG");
        assert_eq!((small.width(), small.height()), SMALL);
    }
}
