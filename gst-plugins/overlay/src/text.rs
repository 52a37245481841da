//! Text on a canvas, in the font that comes with the plugin.

use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef, Glyph, PxScale, ScaleFont as _};

use crate::canvas::Canvas;
use crate::palette::Colour;

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../fonts/DejaVuSans-subset.ttf"))
        .expect("the font is part of the plugin")
});

/// A line of text, laid out.
pub struct Line {
    glyphs: Vec<Glyph>,
    /// In pixels.
    pub width: usize,
    pub height: usize,
}

impl Line {
    /// `size` is the height of a line in pixels.
    pub fn new(text: &str, size: u32) -> Self {
        let font = FONT.as_scaled(PxScale::from(size as f32));
        let mut x = 0.0;
        let mut last = None;
        let glyphs = text
            .chars()
            .filter(|character| !character.is_control())
            .map(|character| {
                let mut glyph = font.scaled_glyph(character);
                x += last.map_or(0.0, |last| font.kern(last, glyph.id));
                glyph.position = ab_glyph::point(x, font.ascent());
                x += font.h_advance(glyph.id);
                last = Some(glyph.id);
                glyph
            })
            .collect();
        Self {
            glyphs,
            width: x.ceil() as usize,
            height: font.height().ceil() as usize,
        }
    }

    /// Draws the text with its top left corner at (x, y).
    pub fn draw(self, canvas: &mut Canvas, (x, y): (i64, i64), colour: Colour) {
        let outlines = self
            .glyphs
            .into_iter()
            .filter_map(|glyph| FONT.outline_glyph(glyph));
        for outline in outlines {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let place = |corner: f32, offset: u32| corner as i64 + i64::from(offset);
                canvas.mix(
                    (x + place(corner.x, dx), y + place(corner.y, dy)),
                    colour,
                    coverage,
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::{BLACK, WHITE};

    fn ink(text: &str) -> (usize, Canvas) {
        let line = Line::new(text, 20);
        let mut canvas = Canvas::filled(line.width, line.height, BLACK);
        line.draw(&mut canvas, (0, 0), WHITE);
        (
            canvas.pixels.chunks(4).filter(|pixel| pixel[0] > 127).count(),
            canvas,
        )
    }

    #[test]
    fn letters_leave_ink() {
        assert_eq!(ink("  ").0, 0);
        let (l, h) = (ink("l").0, ink("H").0);
        assert!(l > 10 && h > l, "{l} {h}");
        assert!(ink("HH").0.abs_diff(2 * h) <= h / 2);
    }

    #[test]
    fn an_l_is_an_upright_stroke() {
        let (_, canvas) = ink("l");
        let inked = |row: &[u8]| row.chunks(4).filter(|pixel| pixel[0] > 127).count();
        let strokes: Vec<_> = canvas
            .pixels
            .chunks(canvas.width * 4)
            .map(inked)
            .filter(|count| *count > 0)
            .collect();
        assert!(
            strokes.len() >= 12 && strokes.iter().all(|count| *count <= 3),
            "{strokes:?}"
        );
    }

    #[test]
    fn width_grows_with_text_and_size() {
        assert_eq!(Line::new("", 20).width, 0);
        assert!(Line::new("person", 20).width > Line::new("pers", 20).width);
        assert!(Line::new("person", 40).width > Line::new("person", 20).width);
    }

    #[test]
    fn letters_beyond_ascii_have_shapes() {
        for text in ["é", "ß", "Ł", "Ω", "я", "…"] {
            assert!(ink(text).0 > 0, "{text}");
            let id = FONT.glyph_id(text.chars().next().unwrap());
            assert_ne!(id.0, 0, "{text} is not in the font");
        }
    }
}
