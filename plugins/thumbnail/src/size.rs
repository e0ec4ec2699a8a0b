//! How large the thumbnail gets: pure arithmetic on widths and heights.
//!
//! A thumbnail is never larger than its source, in neither direction and with no fit: enlarging adds bytes and no
//! detail, and whoever shows the picture can still do it.

use std::fmt;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// What happens when box and picture differ in shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// All of the picture, as large as the box allows; one side of the box may stay empty.
    #[default]
    Contain,
    /// All of the box; what juts out of the picture is cut off evenly.
    Cover,
    /// All of both; the picture is distorted.
    Stretch,
}

/// The thumbnail to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub size: Size,
    /// Whether to cut the picture to the target's shape first, rather than to press it into that.
    pub crop: bool,
}

impl Target {
    /// Width and height swapped, if the picture lies on its side.
    pub fn turned_if(self, turned: bool) -> Self {
        Self { size: self.size.turned_if(turned), ..self }
    }
}

impl Size {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Width and height swapped, if the picture lies on its side.
    pub fn turned_if(self, turned: bool) -> Self {
        if turned { Self::new(self.height, self.width) } else { self }
    }

    /// The thumbnail of a picture of this size.
    pub fn fitted(self, room: Self, fit: Fit) -> Target {
        let size = match fit {
            Fit::Contain => self.scaled(self.scale_to(room, f64::min)),
            // The box itself shrinks until it lies inside the picture.
            Fit::Cover => room.scaled(room.scale_to(self, f64::min)),
            Fit::Stretch => Self::new(self.width.min(room.width), self.height.min(room.height)),
        };
        Target { size, crop: fit == Fit::Cover }
    }

    /// The size at which to decode a picture of this size, so that the filter still has `detail` pixels for each that
    /// it makes in the direction that shrinks least.
    pub fn reduced_for(self, target: Self, detail: f64) -> Self {
        self.scaled((self.scale_to(target, f64::max) * detail).min(1.0))
    }

    /// The factor, at most 1, that brings the picture to `other`: in the one direction or in the other, as `choose`
    /// says.
    fn scale_to(self, other: Self, choose: fn(f64, f64) -> f64) -> f64 {
        let across = f64::from(other.width) / f64::from(self.width);
        let down = f64::from(other.height) / f64::from(self.height);
        choose(across, down).min(1.0)
    }

    /// No side becomes 0: a line of 1,000 × 1 pixels has a thumbnail of 200 × 1.
    fn scaled(self, factor: f64) -> Self {
        let side = |length: u32| ((f64::from(length) * factor).round() as u32).max(1);
        Self::new(side(self.width), side(self.height))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} × {}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: (u32, u32), room: (u32, u32), fit: Fit, expected: (u32, u32)) {
        let target = Size::new(source.0, source.1).fitted(Size::new(room.0, room.1), fit);
        assert_eq!((target.size.width, target.size.height), expected);
    }

    #[test]
    fn contain_keeps_the_shape_and_fills_one_side_of_the_box() {
        check((4000, 3000), (200, 200), Fit::Contain, (200, 150));
        check((3000, 4000), (200, 200), Fit::Contain, (150, 200));
    }

    #[test]
    fn cover_fills_the_box() {
        check((4000, 3000), (200, 100), Fit::Cover, (200, 100));
    }

    #[test]
    fn stretch_gives_up_the_shape() {
        check((4000, 3000), (50, 200), Fit::Stretch, (50, 200));
    }

    #[test]
    fn no_fit_enlarges() {
        check((100, 50), (200, 200), Fit::Contain, (100, 50));
        check((100, 50), (200, 200), Fit::Cover, (50, 50));
        check((100, 50), (200, 20), Fit::Stretch, (100, 20));
    }

    #[test]
    fn a_side_left_open_follows_from_the_shape() {
        check((4000, 3000), (400, u32::MAX), Fit::Contain, (400, 300));
    }

    #[test]
    fn a_thin_line_keeps_one_pixel() {
        check((1000, 1), (200, 200), Fit::Contain, (200, 1));
        check((1, 60_000), (200, 200), Fit::Cover, (1, 1));
    }

    #[test]
    fn decoding_keeps_the_detail_that_the_filter_needs_in_both_directions() {
        let wide = Size::new(4000, 1000);
        assert_eq!(wide.reduced_for(Size::new(100, 100), 2.0), Size::new(800, 200));
        assert_eq!(wide.reduced_for(Size::new(3000, 750), 2.0), wide);
    }
}
