//! Lines of text, in the font that comes with the plugin.

use std::collections::HashMap;
use std::sync::LazyLock;

use ab_glyph::{Font as _, FontRef, GlyphId, PxScale, ScaleFont as _};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../fonts/DejaVuSans-subset.ttf"))
        .expect("the font is part of the plugin")
});

/// More shapes than the labels of a stream use.
const CACHE: usize = 1024;

/// How much of each pixel is ink, 0 to 255; rows without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub ink: Vec<u8>,
}

impl Mask {
    fn empty(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            ink: vec![0; width * height],
        }
    }

    pub fn row(&self, y: usize) -> &[u8] {
        &self.ink[y * self.width..][..self.width]
    }

    /// Puts another mask's ink on this one; what is outside is lost.
    fn add(&mut self, other: &Self, (x, y): (i64, i64)) {
        for row in 0..other.height {
            let Some(to) = usize::try_from(y + row as i64)
                .ok()
                .filter(|to| *to < self.height)
            else {
                continue;
            };
            let skip = usize::try_from(-x).unwrap_or(0).min(other.width);
            let start = usize::try_from(x).unwrap_or(0).min(self.width);
            let to = &mut self.ink[to * self.width..][start..self.width];
            for (to, from) in to.iter_mut().zip(&other.row(row)[skip..]) {
                *to = to.saturating_add(*from);
            }
        }
    }
}

/// A letter's shape, and where it lies from the pen's place on the top of the line.
struct Shape {
    left: i64,
    top: i64,
    mask: Mask,
}

/// Draws lines of text. A letter of a size is drawn once.
#[derive(Default)]
pub struct Typesetter {
    shapes: HashMap<(GlyphId, u32), Shape>,
}

impl Typesetter {
    /// The text with a margin on both sides, in lines `size` pixels high; what goes beyond `max_width` ends in "…".
    pub fn line(&mut self, text: &str, size: u32, max_width: usize) -> Mask {
        let font = FONT.as_scaled(PxScale::from(size as f32));
        let margin = (size as usize / 5).max(1);
        let (letters, end) = lay_out(text, size, max_width.saturating_sub(2 * margin) as f32);
        let width = (end.ceil() as usize + 2 * margin).min(max_width);
        let mut line = Mask::empty(width, font.height().ceil() as usize);
        for (glyph, x) in letters {
            let shape = self.shape(glyph, size);
            // Whole pixels only, so that a letter looks the same wherever it is.
            line.add(
                &shape.mask,
                (margin as i64 + x.round() as i64 + shape.left, shape.top),
            );
        }
        line
    }

    fn shape(&mut self, glyph: GlyphId, size: u32) -> &Shape {
        if self.shapes.len() >= CACHE {
            self.shapes.clear();
        }
        let shape = self.shapes.entry((glyph, size));
        shape.or_insert_with(|| draw(glyph, size))
    }
}

/// The letters with the places of the pen, and where it ends. What exceeds `max_width` is cut, and ends in "…".
fn lay_out(text: &str, size: u32, max_width: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let font = FONT.as_scaled(PxScale::from(size as f32));
    let ellipsis = font.glyph_id('…');
    let ellipsis_width = font.h_advance(ellipsis);
    let mut letters: Vec<(GlyphId, f32)> = Vec::new();
    let mut pen = 0.0;
    // Letters after which an ellipsis still fits, and the pen's place there.
    let mut fitting = (0, 0.0);
    for character in text.chars().filter(|character| !character.is_control()) {
        let glyph = font.glyph_id(character);
        let start = pen + letters.last().map_or(0.0, |(last, _)| font.kern(*last, glyph));
        letters.push((glyph, start));
        pen = start + font.h_advance(glyph);
        if pen > max_width {
            let (count, end) = fitting;
            letters.truncate(count);
            letters.push((ellipsis, end));
            return (letters, end + ellipsis_width);
        }
        if pen + ellipsis_width <= max_width {
            fitting = (letters.len(), pen);
        }
    }
    (letters, pen)
}

fn draw(glyph: GlyphId, size: u32) -> Shape {
    let scale = PxScale::from(size as f32);
    // The foot of the letters is on a pixel's edge.
    let baseline = FONT.as_scaled(scale).ascent().round();
    let placed = glyph.with_scale_and_position(scale, ab_glyph::point(0.0, baseline));
    let Some(outline) = FONT.outline_glyph(placed) else {
        return Shape {
            left: 0,
            top: 0,
            mask: Mask::empty(0, 0),
        };
    };
    let bounds = outline.px_bounds();
    let mut mask = Mask::empty(bounds.width() as usize, bounds.height() as usize);
    let (width, height) = (mask.width, mask.height);
    outline.draw(|x, y, share| {
        let (x, y) = (x as usize, y as usize);
        if x < width && y < height {
            mask.ink[y * width + x] = (share.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    });
    Shape {
        left: bounds.min.x as i64,
        top: bounds.min.y as i64,
        mask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: usize = 10_000;

    fn line(text: &str, size: u32) -> Mask {
        Typesetter::default().line(text, size, WIDE)
    }

    fn ink(text: &str) -> usize {
        line(text, 20).ink.iter().filter(|ink| **ink > 127).count()
    }

    #[test]
    fn letters_leave_ink() {
        assert_eq!(ink("  "), 0);
        let (l, h) = (ink("l"), ink("H"));
        assert!(l > 10 && h > l, "{l} {h}");
        assert_eq!(ink("HHH"), 3 * h);
    }

    #[test]
    fn an_l_is_an_upright_stroke() {
        let mask = line("l", 20);
        let inked = |row: usize| mask.row(row).iter().filter(|ink| **ink > 127).count();
        let strokes: Vec<_> = (0..mask.height).map(inked).filter(|count| *count > 0).collect();
        assert!(
            strokes.len() >= 12 && strokes.iter().all(|count| *count <= 3),
            "{strokes:?}"
        );
    }

    #[test]
    fn width_grows_with_text_and_size() {
        assert_eq!(line("", 20).width, 8, "the margins");
        assert!(line("person", 20).width > line("pers", 20).width);
        assert!(line("person", 40).width > line("person", 20).width);
        for size in [1, 5, 12, 77, 500] {
            assert_eq!(line("person", size).height, size as usize);
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let mut typesetter = Typesetter::default();
        let whole = line("person 0.86", 20);
        assert_eq!(typesetter.line("person 0.86", 20, whole.width), whole);
        let cut = typesetter.line("person 0.86", 20, whole.width - 1);
        assert!(cut.width < whole.width);
        let (letters, end) = lay_out("person 0.86", 20, (whole.width - 10) as f32);
        assert_eq!(letters.last().map(|(glyph, _)| *glyph), Some(FONT.glyph_id('…')));
        assert!(letters.len() > 7 && end <= (whole.width - 10) as f32);
        // No room for anything.
        for max_width in 0..20 {
            assert!(typesetter.line("person", 20, max_width).width <= max_width);
        }
    }

    #[test]
    fn a_letter_is_drawn_once_and_not_kept_for_ever() {
        let mut typesetter = Typesetter::default();
        let first = typesetter.line("noon", 20, WIDE);
        assert_eq!(typesetter.shapes.len(), 2);
        assert_eq!(typesetter.line("noon", 20, WIDE), first);
        for letter in ('!'..='~')
            .cycle()
            .take(94)
            .flat_map(|letter| (1..14).map(move |size| (letter, size)))
        {
            typesetter.line(&letter.0.to_string(), letter.1, WIDE);
            assert!(typesetter.shapes.len() <= CACHE);
        }
        const { assert!(94 * 13 > CACHE, "the cache was full once") };
    }

    #[test]
    fn letters_beyond_ascii_have_shapes() {
        for text in ["é", "ß", "Ł", "Ω", "я", "…"] {
            assert!(ink(text) > 0, "{text}");
            let id = FONT.glyph_id(text.chars().next().unwrap());
            assert_ne!(id.0, 0, "{text} is not in the font");
        }
    }
}
