//! A small picture to draw on.

use crate::palette::Colour;

/// Bytes of a pixel: blue, green, red, opacity (not premultiplied).
pub const PIXEL: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    /// Rows without gaps.
    pub pixels: Vec<u8>,
}

impl Canvas {
    /// A canvas of one opaque colour.
    pub fn filled(width: usize, height: usize, colour: Colour) -> Self {
        let Colour(red, green, blue) = colour;
        Self {
            width,
            height,
            pixels: [blue, green, red, 255].repeat(width * height),
        }
    }

    /// Mixes a colour into a pixel, by `coverage` of it (0 to 1). Outside of the canvas it does nothing.
    pub fn mix(&mut self, (x, y): (i64, i64), colour: Colour, coverage: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x >= self.width || y >= self.height {
            return;
        }
        let pixel = &mut self.pixels[(y * self.width + x) * PIXEL..][..3];
        let Colour(red, green, blue) = colour;
        let coverage = coverage.clamp(0.0, 1.0);
        for (old, new) in pixel.iter_mut().zip([blue, green, red]) {
            let mixed = f32::from(*old) * (1.0 - coverage) + f32::from(new) * coverage;
            *old = mixed.round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::{BLACK, WHITE};

    #[test]
    fn colours_are_mixed_where_they_belong() {
        let mut canvas = Canvas::filled(3, 2, Colour(10, 20, 30));
        assert_eq!(canvas.pixels, [30, 20, 10, 255].repeat(6));
        canvas.mix((1, 1), WHITE, 1.0);
        canvas.mix((2, 0), BLACK, 0.5);
        assert_eq!(canvas.pixels[16..20], [255, 255, 255, 255]);
        assert_eq!(canvas.pixels[8..12], [15, 10, 5, 255]);
    }

    #[test]
    fn outside_nothing_happens() {
        let mut canvas = Canvas::filled(2, 2, BLACK);
        for place in [(-1, 0), (0, -1), (2, 0), (0, 2), (i64::MAX, i64::MIN)] {
            canvas.mix(place, WHITE, 1.0);
        }
        assert_eq!(canvas, Canvas::filled(2, 2, BLACK));
    }
}
