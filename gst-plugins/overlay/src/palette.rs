//! Colours that tell classes and tracks apart.

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

pub const BLACK: Colour = Colour(0, 0, 0);
pub const WHITE: Colour = Colour(255, 255, 255);

/// The colour of a class or a track: always the same for the same number, far apart for neighbours.
pub fn colour(id: u64) -> Colour {
    // Steps of the golden ratio spread any run of numbers evenly around the colour wheel.
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let hue = (id as f64 * GOLDEN_RATIO + 0.33).fract() * 6.0;
    let fade = |distance: f64| {
        let saturated = (1.0 - (distance - 1.0).clamp(0.0, 1.0)).clamp(0.0, 1.0);
        (40.0 + 215.0 * saturated).round() as u8
    };
    let distance = |centre: f64| {
        let direct = (hue - centre).abs();
        direct.min(6.0 - direct)
    };
    Colour(fade(distance(0.0)), fade(distance(2.0)), fade(distance(4.0)))
}

impl Colour {
    /// Black or white, whichever is easier to read on this colour.
    pub fn text(self) -> Colour {
        // Above this relative luminance black has the greater contrast ratio (WCAG 2).
        if self.luminance() > 0.179 { BLACK } else { WHITE }
    }

    /// Relative luminance, 0 to 1.
    fn luminance(self) -> f64 {
        let linear = |value: u8| (f64::from(value) / 255.0).powf(2.2);
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ() {
        for id in 0..200 {
            let (Colour(r1, g1, b1), Colour(r2, g2, b2)) = (colour(id), colour(id + 1));
            let difference = r1.abs_diff(r2).max(g1.abs_diff(g2)).max(b1.abs_diff(b2));
            assert!(difference > 100, "{id}: {:?} {:?}", colour(id), colour(id + 1));
        }
    }

    #[test]
    fn text_is_readable_on_every_colour() {
        assert_eq!((BLACK.text(), WHITE.text()), (WHITE, BLACK));
        for id in 0..200 {
            let plate = colour(id);
            let (a, b) = (plate.luminance(), plate.text().luminance());
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{id}: {plate:?} has contrast {contrast}");
        }
    }
}
