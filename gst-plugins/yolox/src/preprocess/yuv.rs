//! Rows of luma and colour differences to rows of blue, green and red.
//!
//! Sixteen bits are enough, and twice as fast as 32: with six of them behind the point, a colour is less than 0.03
//! away from the exact value before it is rounded.

use super::picture::{Chroma, Picture};

/// Bits behind the point while colours are added up.
const BITS: u32 = 6;

/// How luma and colour differences become red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coefficients {
    /// Luma of black.
    black: i16,
    /// In units of 1/32768. One less than luma's factor, and so are red's and blue's: they would not fit.
    luma: i16,
    /// In units of 1/16384.
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
    /// Added before rounding: a half, and what products lose on average because they are rounded down.
    half: i16,
}

impl Coefficients {
    /// From the weights of red and blue in luma (BT.601: 0.299 and 0.114), for samples that use all of 0..255
    /// (`full_range`) or only 16..235 and 16..240.
    pub fn new(kr: f64, kb: f64, full_range: bool) -> Self {
        let (black, luma, chroma) = if full_range {
            (0, 1.0, 1.0)
        } else {
            (16, 255.0 / 219.0, 255.0 / 224.0)
        };
        let kg = 1.0 - kr - kb;
        let (red, blue) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        let half = (1 << (BITS - 1)) + i16::from(!full_range);
        let fixed = |value: f64, bits: u32| (value * f64::from(1 << bits)).round() as i16;
        Self {
            black,
            luma: fixed(luma - 1.0, 15),
            red_v: fixed(red - 1.0, 14),
            green_u: fixed(-blue * kb / kg, 14),
            green_v: fixed(-red * kr / kg, 14),
            blue_u: fixed(blue - 1.0, 14),
            half,
        }
    }

    #[inline(always)]
    fn luma(&self, y: u8) -> i16 {
        let y = i16::from(y) - self.black;
        (y << BITS) + high(y << 7, self.luma) + self.half
    }
}

/// The upper half of a product: one instruction for many.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// Sums may leave the range of 16 bits only where they are far beyond black or white.
#[inline(always)]
fn byte(luma: i16, colour: i16) -> u8 {
    (luma.saturating_add(colour) >> BITS).clamp(0, 255) as u8
}

#[inline(always)]
pub(super) fn convert(luma: &[u8], chromas: &Chromas, c: &Coefficients, bgr: [&mut [u8]; 3]) {
    let [blue, green, red] = bgr;
    let outputs = blue.iter_mut().zip(green).zip(red);
    let inputs = luma.iter().zip(&chromas.u).zip(&chromas.v);
    for (((blue, green), red), ((y, u), v)) in outputs.zip(inputs) {
        let luma = c.luma(*y);
        let [u, v] = [*u, *v].map(|sample| i16::from(sample) - 128);
        *blue = byte(luma, (u << BITS) + high(u << 8, c.blue_u));
        *green = byte(luma, high(u << 8, c.green_u) + high(v << 8, c.green_v));
        *red = byte(luma, (v << BITS) + high(v << 8, c.red_v));
    }
}

#[inline(always)]
pub(super) fn convert_gray(luma: &[u8], c: &Coefficients, gray: &mut [u8]) {
    for (gray, y) in gray.iter_mut().zip(luma) {
        *gray = byte(c.luma(*y), 0);
    }
}

/// A row of colour differences in luma's resolution.
pub(super) struct Chromas {
    u: Vec<u8>,
    v: Vec<u8>,
    /// Samples blended in height, in units of 1/4, with the first and the last repeated beyond the edges.
    blended: Vec<u16>,
}

impl Chromas {
    pub(super) fn new(width: usize) -> Self {
        let even = width.next_multiple_of(2);
        Self {
            u: vec![0; even],
            v: vec![0; even],
            blended: vec![0; even + 2],
        }
    }

    #[inline(always)]
    pub(super) fn load(&mut self, picture: &Picture, row: usize, chroma: Chroma) {
        for (component, out) in [(1, &mut self.u), (2, &mut self.v)] {
            let (x, y) = picture.layout.components[component].subsampling;
            let (near, far) = match y {
                0 => (row, row),
                _ if row.is_multiple_of(2) => (row / 2, (row / 2).saturating_sub(1)),
                _ => (row / 2, row / 2 + 1),
            };
            let (near, step) = picture.row(component, near);
            let (far, _) = picture.row(component, far);
            let samples = near.len().div_ceil(step);
            let blended = &mut self.blended[..samples + 2];
            blend(near, far, step, &mut blended[1..=samples]);
            blended[0] = blended[1];
            blended[samples + 1] = blended[samples];
            match (x, chroma) {
                (0, _) => out
                    .iter_mut()
                    .zip(&blended[1..])
                    .for_each(|(out, value)| *out = ((value + 2) >> 2) as u8),
                // Biased to either side in turn, so that rounding adds no tint.
                (_, Chroma::Centred) => double(blended, out, |before, this, after| {
                    ((3 * this + before + 8) >> 4, (3 * this + after + 7) >> 4)
                }),
                (_, Chroma::Cosited) => double(blended, out, |_, this, after| {
                    ((this + 2) >> 2, (this + after + 3) >> 3)
                }),
            }
        }
    }
}

/// Two samples from each, by what lies before and after it: linear between the samples, as libjpeg does.
#[inline(always)]
fn double(blended: &[u16], out: &mut [u8], pair: impl Fn(u16, u16, u16) -> (u16, u16)) {
    let neighbours = blended.iter().zip(&blended[1..]).zip(&blended[2..]);
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (out, ((before, this), after)) in pairs.iter_mut().zip(neighbours) {
        let (left, right) = pair(*before, *this, *after);
        *out = [left as u8, right as u8];
    }
}

#[inline(always)]
fn blend(near: &[u8], far: &[u8], step: usize, out: &mut [u16]) {
    match step {
        1 => blend_every::<1>(near, far, out),
        2 => blend_every::<2>(near, far, out),
        _ => blend_every::<4>(near, far, out),
    }
}

#[inline(always)]
fn blend_every<const STEP: usize>(near: &[u8], far: &[u8], out: &mut [u16]) {
    let sample = |near: u8, far: u8| 3 * u16::from(near) + u16::from(far);
    let ((near, near_last), (far, far_last)) = (near.as_chunks::<STEP>(), far.as_chunks::<STEP>());
    for ((out, near), far) in out.iter_mut().zip(near).zip(far) {
        *out = sample(near[0], far[0]);
    }
    // No bytes follow the last sample of a row.
    if let ([near], [far], Some(out)) = (near_last, far_last, out.last_mut()) {
        *out = sample(*near, *far);
    }
}
