//! Reading JPEG with no more detail than the thumbnail needs.
//!
//! A JPEG is stored in blocks of 8 × 8 pixels, which can be computed as 4 × 4, 2 × 2 or 1 pixel instead. For a photo
//! of 12 megapixels and a thumbnail of 200 pixels this needs a quarter of the fuel and a seventh of the memory.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, RgbImage};
use jpeg_decoder::{Decoder, Error as JpegError, PixelFormat};
use saggar_plugin::{Error, OrFail};

use crate::format::Format;
use crate::size::Size;
use crate::source::{broken, unsupported};

/// Pixels to decode for each that the thumbnail has, in a row. With fewer the steps between blocks become visible;
/// with more the result looks the same.
const DETAIL: f64 = 2.0;

/// A JPEG whose header has been read.
pub struct Jpeg<'a> {
    decoder: Decoder<&'a [u8]>,
    size: Size,
    layout: PixelFormat,
}

impl<'a> Jpeg<'a> {
    pub fn open(image: &'a [u8]) -> Result<Self, Error> {
        let mut decoder = Decoder::new(image);
        decoder.read_info().map_err(judged)?;
        let info = decoder.info().or_reject("the JPEG holds no picture")?;
        let size = Size::new(info.width.into(), info.height.into());
        Ok(Self { decoder, size, layout: info.pixel_format })
    }

    pub fn size(&self) -> Size {
        self.size
    }

    pub fn orientation(&self) -> Orientation {
        let exif = self.decoder.exif_data();
        exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
    }

    pub fn profile(&self) -> Option<Vec<u8>> {
        self.decoder.icc_profile()
    }

    /// The pixels, in at least twice the target's size if the file has as many.
    pub fn decode(mut self, target: Size) -> Result<DynamicImage, Error> {
        let wanted = self.size.reduced_for(target, DETAIL);
        // No side of a JPEG is longer than 65,535.
        let (width, height) =
            self.decoder.scale(wanted.width as u16, wanted.height as u16).map_err(judged)?;
        let (width, height) = (u32::from(width), u32::from(height));
        let bytes = self.decoder.decode().map_err(judged)?;
        let image = match self.layout {
            PixelFormat::L8 => GrayImage::from_raw(width, height, bytes).map(Into::into),
            PixelFormat::L16 => {
                let samples = bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
                ImageBuffer::from_raw(width, height, samples.collect()).map(DynamicImage::ImageLuma16)
            }
            PixelFormat::RGB24 => RgbImage::from_raw(width, height, bytes).map(Into::into),
            PixelFormat::CMYK32 => RgbImage::from_raw(width, height, rgb(&bytes)).map(Into::into),
        };
        image.ok_or_else(|| broken(Format::Jpeg, "it holds fewer pixels than it says"))
    }
}

/// Ink on paper to light: what the colour leaves over, darkened by the black.
fn rgb(cmyk: &[u8]) -> Vec<u8> {
    let light = |ink: u8, black: u8| (u16::from(255 - ink) * u16::from(255 - black) / 255) as u8;
    let pixel = |inks: &[u8]| [0, 1, 2].map(|index| light(inks[index], inks[3]));
    cmyk.chunks_exact(4).flat_map(pixel).collect()
}

fn judged(error: JpegError) -> Error {
    match error {
        JpegError::Unsupported(feature) => unsupported(Format::Jpeg, &format!("{feature:?}")),
        JpegError::Io(_) => broken(Format::Jpeg, "it ends too early"),
        JpegError::Format(text) => broken(Format::Jpeg, &text),
        JpegError::Internal(error) => broken(Format::Jpeg, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_becomes_light() {
        assert_eq!(rgb(&[0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255]), [255, 255, 255, 0, 255, 255, 0, 0, 0]);
    }
}
