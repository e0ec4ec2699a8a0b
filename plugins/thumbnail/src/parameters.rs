//! What the thumbnail should be like. The names are the same in task headers (`Thumbnail-Width`) and in an envelope
//! (`width`); the one place that knows where a value stands is the closure that looks it up.

use std::ops::RangeInclusive;

use saggar_plugin::Error;

use crate::format::Format;
use crate::size::{Fit, Size, Target};

/// The code of the rejection of a value that cannot be obeyed.
pub const BAD_PARAMETER: &str = "bad-parameter";

/// The box, in pixels, if neither width nor height is given.
const DEFAULT_ROOM: Size = Size { width: 200, height: 200 };
/// The longest side of the box. At 4 bytes a pixel, 4096 × 4096 is half of the default memory limit of a queue;
/// twice that would end as `out-of-memory` where a clear refusal is possible.
const SIDE: RangeInclusive<u32> = 1..=4096;
/// Above 85 a JPEG grows faster than it improves.
const DEFAULT_QUALITY: u8 = 85;
const QUALITY: RangeInclusive<u8> = 1..=100;

/// All there are.
pub const NAMES: [&str; 5] = ["width", "height", "fit", "format", "quality"];

/// One value as it was given.
pub struct Given {
    /// What the publisher calls it, for the message.
    pub name: String,
    pub text: String,
}

#[derive(Debug, PartialEq)]
pub struct Parameters {
    width: Option<u32>,
    height: Option<u32>,
    fit: Fit,
    /// `None` keeps the source's.
    pub format: Option<Format>,
    /// Of a JPEG, from 1 to 100; PNG and WebP are written without loss.
    pub quality: u8,
}

impl Parameters {
    /// Asks `look` for each of the five.
    pub fn read(look: impl Fn(&str) -> Option<Given>) -> Result<Self, Error> {
        let side = |name| look(name).map(|given| number(&given, SIDE)).transpose();
        Ok(Self {
            width: side("width")?,
            height: side("height")?,
            fit: look("fit").map_or(Ok(Fit::default()), |given| fit(&given))?,
            format: look("format").map_or(Ok(None), |given| format(&given))?,
            quality: look("quality").map_or(Ok(DEFAULT_QUALITY), |given| number(&given, QUALITY))?,
        })
    }

    /// The thumbnail of a picture of this size.
    pub fn target(&self, source: Size) -> Target {
        match (self.width, self.height) {
            (None, None) => source.fitted(DEFAULT_ROOM, self.fit),
            (Some(width), Some(height)) => source.fitted(Size::new(width, height), self.fit),
            // A box that is open on one side has no shape to cover or to stretch to.
            (width, height) => {
                let room = Size::new(width.unwrap_or(u32::MAX), height.unwrap_or(u32::MAX));
                source.fitted(room, Fit::Contain)
            }
        }
    }
}

fn number<T>(given: &Given, range: RangeInclusive<T>) -> Result<T, Error>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let number = given.text.trim().parse().ok().filter(|number| range.contains(number));
    let (least, most) = range.into_inner();
    number.ok_or_else(|| bad(given, &format!("a whole number from {least} to {most}")))
}

fn fit(given: &Given) -> Result<Fit, Error> {
    match given.text.trim() {
        "contain" => Ok(Fit::Contain),
        "cover" => Ok(Fit::Cover),
        "stretch" => Ok(Fit::Stretch),
        _ => Err(bad(given, "`contain`, `cover` or `stretch`")),
    }
}

fn format(given: &Given) -> Result<Option<Format>, Error> {
    match given.text.trim() {
        "same" => Ok(None),
        "jpeg" => Ok(Some(Format::Jpeg)),
        "png" => Ok(Some(Format::Png)),
        "webp" => Ok(Some(Format::WebP)),
        _ => Err(bad(given, "`jpeg`, `png`, `webp` or `same`")),
    }
}

fn bad(given: &Given, wanted: &str) -> Error {
    let Given { name, text } = given;
    Error::reject(format!("{name} must be {wanted}, not `{text}`")).code(BAD_PARAMETER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Parameters, Error> {
        Parameters::read(|name| {
            let (_, text) = given.iter().find(|(known, _)| *known == name)?;
            Some(Given { name: format!("`{name}`"), text: (*text).to_owned() })
        })
    }

    #[test]
    fn nothing_given_means_a_box_of_200_pixels() {
        assert_eq!(read(&[]).unwrap().target(Size::new(400, 800)).size, Size::new(100, 200));
    }

    #[test]
    fn one_side_given_leaves_the_other_open_whatever_the_fit() {
        let parameters = read(&[("height", "300"), ("fit", "cover")]).unwrap();
        assert_eq!(parameters.target(Size::new(4000, 3000)).size, Size::new(400, 300));
    }

    #[test]
    fn a_number_out_of_range_is_refused_with_the_range() {
        let error = read(&[("width", "0")]).unwrap_err();
        assert_eq!(error.reason, "`width` must be a whole number from 1 to 4096, not `0`");
        assert_eq!(error.code.as_deref(), Some("bad-parameter"));
        assert!(read(&[("quality", "101")]).unwrap_err().reason.contains("from 1 to 100"));
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        assert!(read(&[("fit", "fill")]).unwrap_err().reason.contains("`contain`, `cover` or"));
        assert!(read(&[("format", "gif")]).unwrap_err().reason.contains("`jpeg`, `png`, `webp`"));
    }
}
