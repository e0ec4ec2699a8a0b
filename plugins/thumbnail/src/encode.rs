//! Writing the thumbnail. Of the metadata only the colour profile goes along; the rest, with the place where a photo
//! was taken, stays behind.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ColorType, DynamicImage, ImageEncoder, Rgb, RgbImage, Rgba};
use saggar_plugin::{Error, OrFail, Output};

use crate::format::Format;
use crate::source::Picture;

/// Larger profiles are left out: one for printing can be larger than all the thumbnails of a page. The profile of a
/// screen or a camera has 0.5 to 4 KiB.
const LARGEST_PROFILE: usize = 32 * 1024;

/// What shines through transparent pixels where the format knows no transparency.
const PAPER: u8 = 255;

pub fn encode(picture: Picture, format: Format, quality: u8) -> Result<Output, Error> {
    let mut pixels = eight_bit(picture.pixels);
    if format == Format::Jpeg {
        pixels = opaque(pixels);
    }
    let profile = picture.profile.filter(|profile| suits(profile, pixels.color()));
    let mut bytes = Vec::new();
    match format {
        Format::Jpeg => write(&pixels, JpegEncoder::new_with_quality(&mut bytes, quality), profile),
        Format::Png => write(&pixels, PngEncoder::new(&mut bytes), profile),
        Format::WebP => write(&pixels, WebPEncoder::new_lossless(&mut bytes), profile),
    }?;
    Ok(Output::new(format.media_type(), bytes))
}

fn write(
    pixels: &DynamicImage,
    mut encoder: impl ImageEncoder,
    profile: Option<Vec<u8>>,
) -> Result<(), Error> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).or_reject("the colour profile cannot be written")?;
    }
    pixels.write_with_encoder(encoder).or_reject("the thumbnail cannot be written")
}

/// Eight bits a channel: the most that JPEG and WebP hold, and that a thumbnail shows.
fn eight_bit(pixels: DynamicImage) -> DynamicImage {
    match pixels.color() {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => pixels,
        ColorType::L16 => pixels.into_luma8().into(),
        ColorType::La16 => pixels.into_luma_alpha8().into(),
        ColorType::Rgb16 | ColorType::Rgb32F => pixels.into_rgb8().into(),
        _ => pixels.into_rgba8().into(),
    }
}

/// The picture on white paper.
fn opaque(pixels: DynamicImage) -> DynamicImage {
    if !pixels.color().has_alpha() {
        return pixels;
    }
    let pixels = pixels.into_rgba8();
    let blend = |colour: u8, alpha: u8| {
        let (colour, paper, alpha) = (u16::from(colour), u16::from(PAPER), u16::from(alpha));
        ((colour * alpha + paper * (255 - alpha) + 127) / 255) as u8
    };
    let mut paper = RgbImage::new(pixels.width(), pixels.height());
    for (Rgb(on_paper), Rgba([red, green, blue, alpha])) in paper.pixels_mut().zip(pixels.pixels()) {
        *on_paper = [*red, *green, *blue].map(|colour| blend(colour, *alpha));
    }
    paper.into()
}

/// Whether the profile speaks of the pixels that are written: one for ink or for grey would falsify colours. Bytes 16
/// to 20 of an ICC profile name what it is for.
fn suits(profile: &[u8], color: ColorType) -> bool {
    let subject: &[u8] = if color.has_color() { b"RGB " } else { b"GRAY" };
    profile.len() <= LARGEST_PROFILE && profile.get(16..20) == Some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbaImage;

    #[test]
    fn transparent_pixels_become_white_paper() {
        let half_black = RgbaImage::from_pixel(1, 1, Rgba([0, 0, 0, 128]));
        assert_eq!(opaque(half_black.into()).to_rgb8().get_pixel(0, 0), &Rgb([127; 3]));
    }

    #[test]
    fn only_a_small_profile_for_the_same_kind_of_pixels_is_kept() {
        let mut profile = vec![0; 128];
        profile[16..20].copy_from_slice(b"RGB ");
        assert!(suits(&profile, ColorType::Rgba8));
        assert!(!suits(&profile, ColorType::L8));
        profile.resize(LARGEST_PROFILE + 1, 0);
        assert!(!suits(&profile, ColorType::Rgba8));
        assert!(!suits(b"RGB", ColorType::Rgb8));
    }
}
