//! The three file formats, for reading and for writing.

use std::fmt;

use image::ImageFormat;
use saggar_plugin::Error;

/// The code of a rejection that another file format would have avoided.
pub const UNSUPPORTED_FORMAT: &str = "unsupported-format";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    WebP,
}

impl Format {
    /// Tells the format by the first bytes. What the publisher calls the payload is not asked: it is often wrong.
    pub fn of(image: &[u8]) -> Result<Self, Error> {
        if image.is_empty() {
            return Err(unsupported("there is no image, the payload is empty"));
        }
        match image::guess_format(image) {
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            Ok(other) => {
                let name = other.extensions_str().first().copied().unwrap_or("this format");
                Err(unsupported(&format!("{} is not supported", name.to_uppercase())))
            }
            Err(_) => Err(unsupported("the payload begins like no image format that is known here")),
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }
}

impl From<Format> for ImageFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Jpeg => Self::Jpeg,
            Format::Png => Self::Png,
            Format::WebP => Self::WebP,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        })
    }
}

fn unsupported(what: &str) -> Error {
    Error::reject(format!("{what}; send JPEG, PNG or WebP")).code(UNSUPPORTED_FORMAT)
}
