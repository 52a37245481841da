//! From a picture's samples to a JPEG's, which are of full range and of BT.601's matrix (JFIF 1.02).

use super::BLOCK;
use super::strip::Unit;

/// What a picture's samples mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// The weights of red and blue in luma.
    pub kr: f64,
    pub kb: f64,
    /// Whether samples use all of 0..255, or luma 16..235 and colour differences 16..240.
    pub full_range: bool,
}

impl Colour {
    pub const JFIF: Self = Self {
        kr: 0.299,
        kb: 0.114,
        full_range: true,
    };

    /// How far samples of luma and of colour differences reach.
    fn ranges(&self) -> [f64; 2] {
        if self.full_range {
            [255.0; 2]
        } else {
            [219.0, 224.0]
        }
    }

    /// Of luma and of colour differences.
    pub(super) fn levels(&self) -> [Levels; 2] {
        let [luma, difference] = self.ranges().map(|range| 255.0 / range);
        let black = if self.full_range { 0.0 } else { 16.0 };
        [
            Levels {
                centre: black + 128.0 / luma,
                factor: luma,
            },
            Levels {
                centre: 128.0,
                factor: difference,
            },
        ]
    }
}

/// A sample becomes (sample - centre) × factor, which is 0 for a JPEG's 128.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) centre: f64,
    pub(super) factor: f64,
}

/// Bits behind the point of what colour differences are multiplied with.
const BITS: u32 = 14;
const HALF: i32 = 1 << (BITS - 1);
/// A colour difference of 0 as sample, in quarters.
const MIDDLE: i16 = 4 * 128;

/// How another matrix's samples become BT.601's: luma gains something of both colour differences, and these mix.
pub(super) struct Mix {
    luma: [i32; 2],
    blue: [i32; 2],
    red: [i32; 2],
}

impl Mix {
    /// Nothing where there is nothing to do.
    pub(super) fn new(colour: Colour) -> Option<Self> {
        let Colour { kr, kb, .. } = colour;
        let to = Colour::JFIF;
        if (kr, kb) == (to.kr, to.kb) {
            return None;
        }
        // Red, green and blue, less luma, of one unit of each colour difference.
        let (blue, red) = (2.0 * (1.0 - kb), 2.0 * (1.0 - kr));
        let kg = 1.0 - kr - kb;
        let colours = [[0.0, -blue * kb / kg, blue], [red, -red * kr / kg, 0.0]];
        let luma = colours.map(|[r, g, b]| to.kr * r + (1.0 - to.kr - to.kb) * g + to.kb * b);
        let [range, difference] = colour.ranges();
        let fixed = |value: f64| (value * f64::from(1 << BITS)).round() as i32;
        Some(Self {
            luma: luma.map(|luma| fixed(luma * range / difference)),
            blue: [0, 1].map(|index| fixed((colours[index][2] - luma[index]) / (2.0 * (1.0 - to.kb)))),
            red: [0, 1].map(|index| fixed((colours[index][0] - luma[index]) / (2.0 * (1.0 - to.kr)))),
        })
    }

    #[inline(always)]
    pub(super) fn apply(&self, units: &mut [Unit]) {
        for [upper, lower, differences] in units {
            for (y, row) in differences.iter_mut().enumerate() {
                let (blues, reds) = row.split_at_mut(BLOCK);
                for (x, (blue, red)) in blues.iter_mut().zip(reds).enumerate() {
                    let more = mixed(self.luma, *blue, *red);
                    // Four samples of luma lie around one of the differences.
                    let luma = if y < BLOCK / 2 { &mut *upper } else { &mut *lower };
                    for row in &mut luma[2 * (y % (BLOCK / 2))..][..2] {
                        for sample in &mut row[2 * x..][..2] {
                            *sample += more;
                        }
                    }
                    let differences = (mixed(self.blue, *blue, *red), mixed(self.red, *blue, *red));
                    (*blue, *red) = (MIDDLE + differences.0, MIDDLE + differences.1);
                }
            }
        }
    }
}

#[inline(always)]
fn mixed([blue, red]: [i32; 2], u: i16, v: i16) -> i16 {
    ((blue * i32::from(u - MIDDLE) + red * i32::from(v - MIDDLE) + HALF) >> BITS) as i16
}
