//! The picture as it was sent: what the file says about itself, and its pixels.
//!
//! There is no limit on sizes here. A small file can unfold into gigabytes; refusing that is the sandbox's work: the
//! allocation fails at the queue's memory limit, and the attempt ends as `out-of-memory`.

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader};
use saggar_plugin::Error;

use crate::format::{Format, UNSUPPORTED_FORMAT};
use crate::jpeg::Jpeg;
use crate::size::Size;

/// The code of the rejection of a file that its own format forbids.
const BROKEN_IMAGE: &str = "broken-image";
/// The code of the rejection of a picture that no memory limit would admit: a guest can address 4 GiB, and hold 2 in
/// one piece.
const IMAGE_TOO_LARGE: &str = "image-too-large";

/// An open file, its header read.
pub struct Source<'a> {
    format: Format,
    size: Size,
    orientation: Orientation,
    profile: Option<Vec<u8>>,
    pixels: Pixels<'a>,
}

enum Pixels<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

/// Pixels, and what must be known to show them as they were meant.
pub struct Picture {
    pub pixels: DynamicImage,
    /// How the pixels have to be turned or mirrored.
    pub orientation: Orientation,
    /// The ICC profile that the pixels' colours refer to.
    pub profile: Option<Vec<u8>>,
}

impl<'a> Source<'a> {
    pub fn open(image: &'a [u8]) -> Result<Self, Error> {
        match Format::of(image)? {
            Format::Jpeg => Self::open_jpeg(image),
            format => Self::open_other(image, format).map_err(|error| judged(format, error)),
        }
    }

    fn open_jpeg(image: &'a [u8]) -> Result<Self, Error> {
        let jpeg = Jpeg::open(image)?;
        Ok(Self {
            format: Format::Jpeg,
            size: jpeg.size(),
            orientation: jpeg.orientation(),
            profile: jpeg.profile(),
            pixels: Pixels::Jpeg(Box::new(jpeg)),
        })
    }

    fn open_other(image: &'a [u8], format: Format) -> Result<Self, ImageError> {
        let mut reader = ImageReader::with_format(Cursor::new(image), format.into());
        reader.no_limits();
        let mut decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        Ok(Self {
            format,
            size: Size::new(width, height),
            orientation: decoder.orientation()?,
            profile: decoder.icc_profile()?,
            pixels: Pixels::Other(Box::new(decoder)),
        })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of the pixels as they are stored, which may be lying on their side.
    pub fn stored_size(&self) -> Size {
        self.size
    }

    /// Whether people see the picture with width and height exchanged.
    pub fn is_turned(&self) -> bool {
        match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => true,
            Orientation::NoTransforms
            | Orientation::Rotate180
            | Orientation::FlipHorizontal
            | Orientation::FlipVertical => false,
        }
    }

    /// The pixels, with at least the detail that a thumbnail of the target's size needs.
    pub fn decode(self, target: Size) -> Result<Picture, Error> {
        let pixels = match self.pixels {
            Pixels::Jpeg(jpeg) => jpeg.decode(target)?,
            Pixels::Other(decoder) => {
                DynamicImage::from_decoder(decoder).map_err(|error| judged(self.format, error))?
            }
        };
        Ok(Picture { pixels, orientation: self.orientation, profile: self.profile })
    }
}

/// Says whether the file breaks the rules of its format or only uses one that is not supported.
fn judged(format: Format, error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(error) => unsupported(format, &error.to_string()),
        ImageError::Limits(_) => {
            Error::reject(format!("the {format} unfolds to more than 2 GiB")).code(IMAGE_TOO_LARGE)
        }
        error => broken(format, &error.to_string()),
    }
}

pub fn unsupported(format: Format, what: &str) -> Error {
    Error::reject(format!("this kind of {format} is not supported: {what}")).code(UNSUPPORTED_FORMAT)
}

pub fn broken(format: Format, what: &str) -> Error {
    Error::reject(format!("the {format} is broken: {what}")).code(BROKEN_IMAGE)
}
