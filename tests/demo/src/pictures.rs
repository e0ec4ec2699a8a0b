//! Pictures that the demonstration draws itself: landscapes with sun, hills and grain, in the formats and sizes that
//! people upload, some of them stored lying on their side as cameras do.

use std::io::Cursor;

use anyhow::Context as _;
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::rotate270;
use image::{ImageFormat, Rgb, RgbImage};

use crate::dice::Dice;

/// Good enough for a photograph, and small enough for one NATS message.
const JPEG_QUALITY: u8 = 82;

/// EXIF's "turn by 90° clockwise to show": what a camera held upright writes.
const ORIENTATION_TURNED: u8 = 6;

/// Width, height and format as stored, and whether a camera held upright took it.
const ALBUM: [(u32, u32, ImageFormat, bool); 12] = [
    (1600, 1200, ImageFormat::Jpeg, false),
    (1600, 1200, ImageFormat::Jpeg, true),
    (1200, 1600, ImageFormat::Jpeg, false),
    (1500, 1000, ImageFormat::Jpeg, false),
    (1200, 800, ImageFormat::Jpeg, true),
    (960, 960, ImageFormat::Jpeg, false),
    (640, 480, ImageFormat::Png, false),
    (480, 640, ImageFormat::Png, false),
    (480, 480, ImageFormat::Png, false),
    (640, 480, ImageFormat::WebP, false),
    (600, 400, ImageFormat::WebP, false),
    (480, 480, ImageFormat::WebP, false),
];

/// One picture.
pub struct Picture {
    /// Width and height as people see it.
    pub shown: (u32, u32),
    /// How it is stored.
    pub format: ImageFormat,
    /// The file.
    pub bytes: Bytes,
}

/// All pictures of the demonstration.
pub fn album() -> anyhow::Result<Vec<Picture>> {
    let numbered = (0..).zip(ALBUM);
    numbered
        .map(|(seed, (width, height, format, turned))| draw(seed, width, height, format, turned))
        .collect()
}

fn draw(seed: u64, width: u32, height: u32, format: ImageFormat, turned: bool) -> anyhow::Result<Picture> {
    let shown = if turned { (height, width) } else { (width, height) };
    let scene = landscape(seed, shown.0, shown.1);
    // A camera held upright stores the scene turned the other way.
    let picture = if turned { rotate270(&scene) } else { scene };
    let mut file = Vec::new();
    match format {
        ImageFormat::Jpeg => {
            JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY).encode_image(&picture)?;
        }
        _ => picture.write_to(&mut Cursor::new(&mut file), format).context("a picture cannot be written")?,
    }
    if turned {
        file = with_orientation(&file, ORIENTATION_TURNED);
    }
    Ok(Picture { shown, format, bytes: file.into() })
}

/// A sky with a sun, and three ranges of hills before it, the nearest the darkest.
fn landscape(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut dice = Dice::new(seed);
    let mut unit = || f64::from(dice.roll(1000)) / 1000.0;
    let (sun_x, sun_y, warmth) = (0.2 + 0.6 * unit(), 0.15 + 0.2 * unit(), unit());
    let waves: Vec<[f64; 3]> =
        (0..3).map(|_| [2.0 + 4.0 * unit(), 6.0 * unit(), 8.0 + 9.0 * unit()]).collect();
    let ridge = |range: usize, x: f64| {
        let [slow, phase, fast] = waves[range];
        let base = [0.5, 0.62, 0.76][range];
        base + 0.06 * (slow * x + phase).sin() + 0.02 * (fast * x).sin()
    };
    let aspect = f64::from(width) / f64::from(height);
    let mut grain = Dice::new(seed + 1000);
    RgbImage::from_fn(width, height, |column, row| {
        let (x, y) = (f64::from(column) / f64::from(width), f64::from(row) / f64::from(height));
        let range = (0..3).rev().find(|&range| y > ridge(range, x));
        let [red, green, blue] = if let Some(range) = range {
            [[96.0, 122.0, 138.0], [64.0, 98.0, 84.0], [34.0, 58.0, 40.0]][range]
        } else {
            let from_sun = ((x - sun_x) * aspect).hypot(y - sun_y);
            let glow = (1.0 - 6.0 * from_sun).clamp(0.0, 1.0);
            let horizon = y * 1.6;
            [90.0 + 110.0 * horizon * warmth + 120.0 * glow, 140.0 + 60.0 * horizon + 80.0 * glow, 215.0]
        };
        let grain = f64::from(grain.roll(5)) - 2.0;
        Rgb([red, green, blue].map(|colour| to_byte(colour + grain)))
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a byte holds")]
fn to_byte(colour: f64) -> u8 {
    colour.clamp(0.0, 255.0) as u8
}

/// The same JPEG with an EXIF block of one entry, tag 0x0112, right behind the start of the image.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    const START_OF_IMAGE: usize = 2;
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).expect("a few dozen bytes");
    let (start, rest) = jpeg.split_at(START_OF_IMAGE);
    [start, &[0xFF, 0xE1], &length.to_be_bytes(), &exif, rest].concat()
}
