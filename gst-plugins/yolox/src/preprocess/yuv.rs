//! Rows of luma and colour differences to rows of blue, green and red.

use super::picture::{Chroma, Picture};

/// Coefficients are in units of 1/8192.
const BITS: u32 = 13;

/// How luma and colour differences become red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coefficients {
    /// Luma of black.
    black: i16,
    luma: i16,
    red_v: i16,
    green_u: i16,
    green_v: i16,
    blue_u: i16,
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
        let fixed = |value: f64| (value * f64::from(1 << BITS)).round() as i16;
        Self {
            black,
            luma: fixed(luma),
            red_v: fixed(red),
            green_u: fixed(blue * kb / kg),
            green_v: fixed(red * kr / kg),
            blue_u: fixed(blue),
        }
    }

    #[inline]
    fn luma(&self, y: u8) -> i32 {
        i32::from(self.luma) * i32::from(i16::from(y) - self.black) + (1 << (BITS - 1))
    }
}

#[inline]
fn byte(value: i32) -> u8 {
    (value >> BITS).clamp(0, 255) as u8
}

/// Room for the rows that a conversion goes through.
pub(super) struct YuvRows {
    luma: Vec<u8>,
    /// Colour differences, blended in height, in units of 1/4.
    blended: Vec<u16>,
    u: Vec<u8>,
    v: Vec<u8>,
    bgr: [Vec<u8>; 3],
}

impl YuvRows {
    pub(super) fn new(width: usize) -> Self {
        let row = || vec![0; width];
        Self {
            luma: row(),
            blended: vec![0; width],
            u: row(),
            v: row(),
            bgr: [row(), row(), row()],
        }
    }

    pub(super) fn convert(
        &mut self,
        picture: &Picture,
        row: usize,
        c: &Coefficients,
        chroma: Chroma,
    ) -> &[Vec<u8>; 3] {
        let luma = contiguous(picture.row(0, row), &mut self.luma);
        upsample(picture, 1, row, chroma, &mut self.blended, &mut self.u);
        upsample(picture, 2, row, chroma, &mut self.blended, &mut self.v);
        let [blue, green, red] = &mut self.bgr;
        let outputs = blue.iter_mut().zip(green).zip(red);
        let inputs = luma.iter().zip(&self.u).zip(&self.v);
        for (((blue, green), red), ((y, u), v)) in outputs.zip(inputs) {
            let luma = c.luma(*y);
            let [u, v] = [*u, *v].map(|sample| i32::from(i16::from(sample) - 128));
            *blue = byte(luma + i32::from(c.blue_u) * u);
            *green = byte(luma - i32::from(c.green_u) * u - i32::from(c.green_v) * v);
            *red = byte(luma + i32::from(c.red_v) * v);
        }
        &self.bgr
    }

    pub(super) fn convert_gray(&mut self, picture: &Picture, row: usize, c: &Coefficients) -> &[u8] {
        let luma = contiguous(picture.row(0, row), &mut self.luma);
        let [gray, ..] = &mut self.bgr;
        for (gray, y) in gray.iter_mut().zip(luma) {
            *gray = byte(c.luma(*y));
        }
        gray
    }
}

/// The samples without the bytes between them.
fn contiguous<'a>((samples, step): (&'a [u8], usize), room: &'a mut [u8]) -> &'a [u8] {
    if step == 1 {
        return samples;
    }
    for (out, sample) in room.iter_mut().zip(samples.iter().step_by(step)) {
        *out = *sample;
    }
    room
}

/// Writes a row of colour differences in luma's resolution: linear between the samples, as libjpeg does.
fn upsample(
    picture: &Picture,
    component: usize,
    row: usize,
    chroma: Chroma,
    blended: &mut [u16],
    out: &mut [u8],
) {
    let (x, y) = picture.layout.components[component].subsampling;
    let (near, far) = match y {
        0 => (row, row),
        _ if row.is_multiple_of(2) => (row / 2, (row / 2).saturating_sub(1)),
        _ => (row / 2, row / 2 + 1),
    };
    let (near, step) = picture.row(component, near);
    let (far, _) = picture.row(component, far);
    let samples = near.len().div_ceil(step);
    let blended = &mut blended[..samples];
    match step {
        1 => blend::<1>(near, far, blended),
        2 => blend::<2>(near, far, blended),
        _ => blend::<4>(near, far, blended),
    }
    if x == 0 {
        for (out, value) in out.iter_mut().zip(&*blended) {
            *out = ((value + 2) >> 2) as u8;
        }
        return;
    }
    for (index, pair) in out.chunks_mut(2).enumerate() {
        let this = blended[index];
        let before = blended[index.saturating_sub(1)];
        let after = blended[(index + 1).min(samples - 1)];
        // Biased to either side in turn, so that rounding adds no tint.
        let (left, right) = match chroma {
            Chroma::Centred => ((3 * this + before + 8) >> 4, (3 * this + after + 7) >> 4),
            Chroma::Cosited => ((this + 2) >> 2, (this + after + 3) >> 3),
        };
        pair[0] = left as u8;
        if let Some(pixel) = pair.get_mut(1) {
            *pixel = right as u8;
        }
    }
}

fn blend<const STEP: usize>(near: &[u8], far: &[u8], out: &mut [u16]) {
    for ((out, near), far) in out.iter_mut().zip(near.chunks(STEP)).zip(far.chunks(STEP)) {
        *out = 3 * u16::from(near[0]) + u16::from(far[0]);
    }
}
