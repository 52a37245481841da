//! One row of a picture as planes of bytes, and the same scaled in width.

use fearless_simd::Simd;
use sightline_scaling::{Columns, WINDOW};

use super::picture::{Colour, Picture};
use super::yuv::{self, Chromas};

/// A source row: blue, green and red.
pub(super) struct Row {
    channels: [Vec<u8>; 3],
    /// Luma whose samples do not lie side by side.
    luma: Vec<u8>,
    chromas: Chromas,
}

impl Row {
    pub(super) fn new(width: usize) -> Self {
        Self {
            // Vectors are read from any sample on.
            channels: [(); 3].map(|()| vec![0; width + WINDOW]),
            luma: vec![0; width],
            chromas: Chromas::new(width),
        }
    }

    /// Blue, green and red, and bytes that mean nothing behind each.
    pub(super) fn channels(&self) -> &[Vec<u8>; 3] {
        &self.channels
    }

    #[inline(always)]
    pub(super) fn load(&mut self, picture: &Picture, row: usize) {
        let width = picture.layout.width;
        let Self {
            channels,
            luma,
            chromas,
        } = self;
        let [blue, green, red] = channels.each_mut().map(|channel| &mut channel[..width]);
        match &picture.layout.colour {
            Colour::Rgb => {
                for (channel, component) in [(red, 0), (green, 1), (blue, 2)] {
                    gather(picture.row(component, row), channel);
                }
            }
            Colour::Yuv(coefficients, chroma) => {
                chromas.load(picture, row, *chroma);
                let luma = contiguous(picture.row(0, row), luma);
                yuv::convert(luma, chromas, coefficients, [blue, green, red]);
            }
            Colour::Gray(coefficients) => {
                yuv::convert_gray(contiguous(picture.row(0, row), luma), coefficients, blue);
                green.copy_from_slice(blue);
                red.copy_from_slice(blue);
            }
        }
    }
}

/// A source row, scaled in width: blue, green, red, in units of 1/128.
pub(super) struct Line {
    row: Option<usize>,
    channels: [Vec<i16>; 3],
}

impl Line {
    pub(super) fn new(columns: &Columns) -> Self {
        Self {
            row: None,
            channels: [(); 3].map(|()| vec![0; columns.scaled_len()]),
        }
    }

    pub(super) fn forget(&mut self) {
        self.row = None;
    }

    pub(super) fn holds(&self, row: usize) -> bool {
        self.row == Some(row)
    }

    pub(super) fn channel(&self, index: usize) -> &[i16] {
        &self.channels[index]
    }

    #[inline(always)]
    pub(super) fn load<S: Simd>(&mut self, simd: S, number: usize, row: &Row, columns: &Columns) {
        self.row = Some(number);
        for (samples, out) in row.channels.iter().zip(&mut self.channels) {
            columns.scale(simd, samples, out);
        }
    }
}

#[inline(always)]
fn contiguous<'a>((samples, step): (&'a [u8], usize), room: &'a mut [u8]) -> &'a [u8] {
    if step == 1 {
        return samples;
    }
    gather((samples, step), room);
    room
}

/// Copies every `step`th byte.
#[inline(always)]
fn gather((samples, step): (&[u8], usize), out: &mut [u8]) {
    match step {
        1 => out.copy_from_slice(samples),
        2 => gather_every::<2>(samples, out),
        3 => gather_every::<3>(samples, out),
        _ => gather_every::<4>(samples, out),
    }
}

#[inline(always)]
fn gather_every<const STEP: usize>(samples: &[u8], out: &mut [u8]) {
    let (pixels, last) = samples.as_chunks::<STEP>();
    for (out, pixel) in out.iter_mut().zip(pixels) {
        *out = pixel[0];
    }
    // No bytes follow the last sample of a row.
    if let ([last], Some(out)) = (last, out.last_mut()) {
        *out = *last;
    }
}
