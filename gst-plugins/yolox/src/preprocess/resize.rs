//! Bilinear scaling of bytes as OpenCV's `INTER_LINEAR` does it: first in width, then in height.

use super::picture::{Colour, Picture};
use super::yuv::YuvRows;

/// Weights are in units of 1/2048.
const ONE: i32 = 1 << 11;

/// The two source samples that one output sample lies between, and their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub(super) first: usize,
    pub(super) second: usize,
    weights: [i16; 2],
}

/// The taps that scale `source` samples to `target`; beyond the edges the last sample repeats.
pub(super) fn taps(source: usize, target: usize) -> Vec<Tap> {
    let scale = source as f64 / target as f64;
    let clip = |place: f32| (place.max(0.0) as usize).min(source - 1);
    (0..target)
        .map(|index| {
            let centre = ((index as f64 + 0.5) * scale - 0.5) as f32;
            let floor = centre.floor();
            let weight = ((centre - floor) * ONE as f32).round_ties_even() as i32;
            Tap {
                first: clip(floor),
                // A sample without weight is not fetched.
                second: clip(if weight == 0 { floor } else { floor + 1.0 }),
                weights: [(ONE - weight) as i16, weight as i16],
            }
        })
        .collect()
}

/// A source row, scaled in width: blue, green, red, in units of 1/128.
pub(super) struct Line {
    row: Option<usize>,
    channels: [Vec<i16>; 3],
}

impl Line {
    pub(super) fn new(width: usize) -> Self {
        Self {
            row: None,
            channels: [(); 3].map(|()| vec![0; width]),
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

    pub(super) fn load(&mut self, picture: &Picture, row: usize, columns: &[Tap], yuv: &mut YuvRows) {
        self.row = Some(row);
        match &picture.layout.colour {
            Colour::Rgb => {
                for (channel, component) in self.channels.iter_mut().zip([2, 1, 0]) {
                    let (samples, step) = picture.row(component, row);
                    scale(samples, step, picture.layout.width, columns, channel);
                }
            }
            Colour::Yuv(coefficients, chroma) => {
                let rows = yuv.convert(picture, row, coefficients, *chroma);
                for (channel, samples) in self.channels.iter_mut().zip(rows) {
                    scale(samples, 1, picture.layout.width, columns, channel);
                }
            }
            Colour::Gray(coefficients) => {
                let [blue, others @ ..] = &mut self.channels;
                let samples = yuv.convert_gray(picture, row, coefficients);
                scale(samples, 1, picture.layout.width, columns, blue);
                for channel in others {
                    channel.copy_from_slice(blue);
                }
            }
        }
    }
}

/// Scales a row of `width` samples in width.
fn scale(samples: &[u8], step: usize, width: usize, columns: &[Tap], out: &mut [i16]) {
    if out.len() == width {
        copy(samples, step, out);
        return;
    }
    match step {
        1 => interpolate::<1>(samples, columns, out),
        3 => interpolate::<3>(samples, columns, out),
        _ => interpolate::<4>(samples, columns, out),
    }
}

fn copy(samples: &[u8], step: usize, out: &mut [i16]) {
    let widen = |sample: u8| i16::from(sample) << 7;
    match step {
        1 => out
            .iter_mut()
            .zip(samples)
            .for_each(|(out, sample)| *out = widen(*sample)),
        3 => out
            .iter_mut()
            .zip(samples.chunks(3))
            .for_each(|(out, pixel)| *out = widen(pixel[0])),
        _ => out
            .iter_mut()
            .zip(samples.chunks(4))
            .for_each(|(out, pixel)| *out = widen(pixel[0])),
    }
}

fn interpolate<const STEP: usize>(samples: &[u8], columns: &[Tap], out: &mut [i16]) {
    for (out, tap) in out.iter_mut().zip(columns) {
        let [a, b] = [samples[tap.first * STEP], samples[tap.second * STEP]].map(i32::from);
        let [wa, wb] = tap.weights.map(i32::from);
        // 8 bits times 11 bits, less the 4 that OpenCV drops before the second pass: 15 bits.
        *out = ((a * wa + b * wb) >> 4) as i16;
    }
}

/// Writes the row between two lines, rounded to whole numbers.
pub(super) fn blend(first: &[i16], second: &[i16], tap: &Tap, out: &mut [f32]) {
    let high = |a: i16, b: i16| (i32::from(a) * i32::from(b)) >> 16;
    let [wa, wb] = tap.weights;
    for ((out, a), b) in out.iter_mut().zip(first).zip(second) {
        *out = ((high(*a, wa) + high(*b, wb) + 2) >> 2) as f32;
    }
}
