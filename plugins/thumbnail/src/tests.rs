//! The plugin from payload to output, with the pictures of `cases/`: a gradient with a square of its own colour in
//! each corner, so that every turn and every mirror image shows.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, ImageBuffer, Rgb, Rgba};
use saggar_plugin::testing::Context;
use saggar_plugin::{Error, Output};

use super::thumbnail;

const LANDSCAPE: &[u8] = include_bytes!("../cases/landscape.jpg");
const ON_ITS_SIDE: &[u8] = include_bytes!("../cases/orientation-6.jpg");
const TRUNCATED: &[u8] = include_bytes!("../cases/truncated.jpg");
const INK: &[u8] = include_bytes!("../cases/ink.jpg");
const ALPHA: &[u8] = include_bytes!("../cases/alpha.png");
const WEBP: &[u8] = include_bytes!("../cases/landscape.webp");

fn run(payload: &[u8], headers: &[(&str, &str)]) -> Result<Output, Error> {
    let add = |context: Context, (name, value): &(&str, &str)| context.header(*name, *value);
    headers.iter().fold(Context::new(), add).call(thumbnail, payload)
}

fn pixels(output: &Output) -> DynamicImage {
    image::load_from_memory(&output.payload).expect("the output is an image")
}

#[track_caller]
fn check_size(output: &Output, width: u32, height: u32) {
    let image = pixels(output);
    assert_eq!((image.width(), image.height()), (width, height));
}

#[track_caller]
fn check_corners(output: &Output) {
    let image = pixels(output).to_rgb8();
    let (right, bottom) = (image.width() - 4, image.height() - 4);
    let corners = [
        ("top left", 3, 3, [220, 20, 20]),
        ("top right", right, 3, [20, 200, 20]),
        ("bottom left", 3, bottom, [20, 20, 220]),
        ("bottom right", right, bottom, [240, 220, 20]),
    ];
    for (corner, x, y, expected) in corners {
        let Rgb(found) = *image.get_pixel(x, y);
        let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) < 24);
        assert!(near, "{corner} is {found:?}, not {expected:?}");
    }
}

#[test]
fn each_format_becomes_a_thumbnail_of_its_own_kind() {
    let cases = [(LANDSCAPE, "image/jpeg"), (INK, "image/jpeg"), (WEBP, "image/webp")];
    for (image, media_type) in cases {
        let output = run(image, &[]).unwrap();
        assert_eq!(output.content_type, media_type);
        check_size(&output, 200, 150);
        check_corners(&output);
    }
}

#[test]
fn a_picture_on_its_side_is_turned_upright_and_says_so_no_more() {
    let output = run(ON_ITS_SIDE, &[("Thumbnail-Width", "120"), ("Thumbnail-Height", "400")]).unwrap();
    check_size(&output, 120, 160);
    check_corners(&output);
    assert!(!output.payload.windows(4).any(|window| window == b"Exif"));
}

#[test]
fn a_box_is_covered_by_the_middle_of_the_picture() {
    let headers = [("thumbnail-width", "50"), ("thumbnail-height", "100"), ("thumbnail-fit", "cover")];
    let output = run(ON_ITS_SIDE, &headers).unwrap();
    check_size(&output, 50, 100);
    // The corner squares are a quarter of the width each; the middle half begins where they end.
    let Rgb([red, green, blue]) = *pixels(&output).to_rgb8().get_pixel(25, 50);
    assert!(red.abs_diff(127) < 24 && green.abs_diff(127) < 24 && blue.abs_diff(90) < 24);
}

#[test]
fn transparency_survives_in_png_and_becomes_white_in_jpeg() {
    let png = run(ALPHA, &[]).unwrap();
    check_size(&png, 200, 133);
    assert_eq!(pixels(&png).to_rgba8().get_pixel(0, 0).0[3], 0);

    let jpeg = run(ALPHA, &[("Thumbnail-Format", "jpeg")]).unwrap();
    assert_eq!(jpeg.content_type, "image/jpeg");
    assert!(pixels(&jpeg).to_rgb8().get_pixel(0, 0).0.iter().all(|light| *light > 250));
}

#[test]
fn hidden_colours_do_not_bleed_into_the_edge_of_what_is_visible() {
    let half =
        ImageBuffer::from_fn(
            400,
            400,
            |x, _| if x < 201 { Rgba([255u8, 0, 0, 0]) } else { Rgba([0, 0, 255, 255]) },
        );
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::from(half).write_to(&mut file, image::ImageFormat::Png).unwrap();
    let output = run(file.get_ref(), &[]).unwrap();
    for Rgba([red, _, _, alpha]) in pixels(&output).to_rgba8().pixels() {
        assert!(*alpha == 0 || *red == 0, "red {red} shows with alpha {alpha}");
    }
}

#[test]
fn sixteen_bits_become_eight() {
    let deep = ImageBuffer::from_pixel(300, 300, Rgb([65_535u16, 0, 32_768]));
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::from(deep).write_to(&mut file, image::ImageFormat::Png).unwrap();
    let output = run(file.get_ref(), &[]).unwrap();
    assert_eq!(pixels(&output).as_rgb8().unwrap().get_pixel(9, 9), &Rgb([255, 0, 128]));
}

#[test]
fn a_small_picture_is_not_enlarged() {
    let small = run(LANDSCAPE, &[("Thumbnail-Width", "32")]).unwrap();
    check_size(&run(&small.payload, &[]).unwrap(), 32, 24);
}

#[test]
fn quality_trades_bytes() {
    let size = |quality| run(LANDSCAPE, &[("Thumbnail-Quality", quality)]).unwrap().payload.len();
    assert!(size("30") < size("95"));
}

#[test]
fn an_envelope_holds_picture_and_parameters() {
    let image = BASE64_STANDARD.encode(LANDSCAPE);
    let envelope = format!(r#"{{"image":"{image}","width":64,"height":"64","format":"png"}}"#);
    let output = run(envelope.as_bytes(), &[("Content-Type", "application/json; charset=utf-8")]).unwrap();
    assert_eq!(output.content_type, "image/png");
    check_size(&output, 64, 48);
}

#[test]
fn a_bad_envelope_is_rejected_with_the_member() {
    let refused =
        |envelope: &str| run(envelope.as_bytes(), &[("Content-Type", "application/json")]).unwrap_err();
    assert!(refused(r#"{"image":"","widht":64}"#).reason.contains("unknown field `widht`"));
    assert!(refused(r#"{"image":"*"}"#).reason.contains("`image` is not base64"));
    let error = refused(r#"{"image":"","width":6.4}"#);
    assert_eq!(error.reason, "the member `width` must be a whole number from 1 to 4096, not `6.4`");
}

#[test]
fn a_truncated_file_is_rejected_as_broken() {
    let error = run(TRUNCATED, &[]).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("broken-image"));
    assert_eq!(run(&ALPHA[..200], &[]).unwrap_err().code.as_deref(), Some("broken-image"));
    assert_eq!(run(&WEBP[..200], &[]).unwrap_err().code.as_deref(), Some("broken-image"));
}

#[test]
fn a_format_that_is_not_known_is_rejected_with_those_that_are() {
    let gif = run(b"GIF89a\x01\x00\x01\x00", &[]).unwrap_err();
    assert_eq!(gif.code.as_deref(), Some("unsupported-format"));
    assert_eq!(gif.reason, "GIF is not supported; send JPEG, PNG or WebP");
    assert_eq!(run(b"", &[]).unwrap_err().code.as_deref(), Some("unsupported-format"));
}

#[test]
fn a_bad_header_is_rejected_with_its_name() {
    let error = run(LANDSCAPE, &[("Thumbnail-Width", "wide")]).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("bad-parameter"));
    assert!(error.reason.starts_with("the header `Thumbnail-Width` must be a whole number"), "{error}");
    let error = run(LANDSCAPE, &[("Thumbnail-Widht", "64")]).unwrap_err();
    assert!(error.reason.starts_with("the header `Thumbnail-Widht` is not known"), "{error}");
}
