//! The cosine transform of a block, and its quantisation.
//!
//! The transform is that of Arai, Agui and Nakajima ("A Fast DCT-SQ Scheme for Images", 1988) in single precision: 5
//! multiplications for 8 samples, because the scale of each coefficient is left to the quantiser.

use fearless_simd::prelude::*;
use fearless_simd::{f32x8, i16x16, i32x8};

use super::BLOCK;
use super::colour::Levels;
use super::strip::Samples;

/// The largest coefficient that baseline Huffman codes have room for.
const LARGEST: i16 = 1023;

/// Quantised coefficients.
#[repr(align(32))]
pub(super) struct Block {
    /// By columns: the coefficient of horizontal frequency u and vertical frequency v is at 8 u + v.
    pub(super) coefficients: [i16; 64],
    /// A bit for each that is not 0.
    pub(super) present: u64,
}

impl Block {
    /// Row and column of each coefficient in the order in which they are coded.
    pub(super) fn scan() -> [(usize, usize); 64] {
        SCAN.map(|place| (usize::from(place) % BLOCK, usize::from(place) / BLOCK))
    }

    /// The coefficient that is coded `place`th.
    #[inline(always)]
    pub(super) fn in_scan(&self, place: u32) -> i16 {
        self.coefficients[usize::from(SCAN[place as usize & 63]) & 63]
    }

    /// A bit for each coefficient that is not 0, in the order in which they are coded.
    #[inline(always)]
    pub(super) fn present_in_scan(&self) -> u64 {
        let mut bits = 0;
        for (table, column) in SCAN_BITS.iter().zip(self.present.to_le_bytes()) {
            bits |= table[usize::from(column)];
        }
        bits
    }
}

/// Where the coefficients are in [`Block`], in the order in which they are coded: along diagonals, to and fro.
static SCAN: [u8; 64] = {
    let mut scan = [0; 64];
    let (mut row, mut column, mut place) = (0, 0, 0);
    while place < 64 {
        scan[place] = (BLOCK * column + row) as u8;
        place += 1;
        if (row + column) % 2 == 0 {
            match (row, column) {
                (_, 7) => row += 1,
                (0, _) => column += 1,
                _ => (row, column) = (row - 1, column + 1),
            }
        } else {
            match (row, column) {
                (7, _) => column += 1,
                (_, 0) => row += 1,
                _ => (row, column) = (row + 1, column - 1),
            }
        }
    }
    scan
};

/// For each column of a [`Block`] and all that its bits may be, these bits in the order in which they are coded.
static SCAN_BITS: [[u64; 256]; BLOCK] = {
    let mut tables = [[0; 256]; BLOCK];
    let mut place = 0;
    while place < 64 {
        let (column, row) = (SCAN[place] as usize / BLOCK, SCAN[place] as usize % BLOCK);
        let mut bits = 0;
        while bits < 256 {
            if bits >> row & 1 == 1 {
                tables[column][bits] |= 1 << place;
            }
            bits += 1;
        }
        place += 1;
    }
    tables
};

pub(super) struct Quantiser {
    /// What coefficients are multiplied with, in the order of [`Block`].
    factors: [[f32; BLOCK]; BLOCK],
    /// What is taken from the first row of coefficients, whose first is the sum of all samples.
    offsets: [f32; BLOCK],
}

impl Quantiser {
    /// `table` is a JPEG's quantisation table, by rows.
    pub(super) fn new(table: &[u8; 64], levels: Levels) -> Self {
        let factors = std::array::from_fn(|u| {
            std::array::from_fn(|v| {
                let step = f64::from(table[v * BLOCK + u]);
                (levels.factor / (step * scale(u) * scale(v))) as f32
            })
        });
        let mut offsets = [0.0; BLOCK];
        offsets[0] = (64.0 * levels.centre) as f32;
        Self { factors, offsets }
    }

    /// No closure holds vectors, here and below: it would not be compiled for the vector instructions of `simd`.
    #[inline(always)]
    pub(super) fn transform<S: Simd>(&self, simd: S, rows: &Samples) -> Block {
        let mut samples = [f32x8::splat(simd, 0.0); BLOCK];
        for (samples, row) in samples.iter_mut().zip(rows) {
            let mut floats = [0.0; BLOCK];
            for (float, sample) in floats.iter_mut().zip(row) {
                *float = f32::from(*sample);
            }
            *samples = f32x8::simd_from(simd, floats);
        }
        let mut columns = transform(transpose(transform(samples)));
        columns[0] -= f32x8::simd_from(simd, self.offsets);
        for (column, factors) in columns.iter_mut().zip(self.factors) {
            *column = (*column * f32x8::simd_from(simd, factors)).round_ties_even();
        }
        let mut block = Block {
            coefficients: [0; 64],
            present: 0,
        };
        let (out, columns) = (
            block.coefficients.as_chunks_mut::<16>().0,
            columns.as_chunks::<2>().0,
        );
        for (index, (out, [low, high])) in out.iter_mut().zip(columns).enumerate() {
            let (low, high) = (i32x8::truncate_from(*low), i32x8::truncate_from(*high));
            let quantised: i16x16<S> = low.relaxed_narrow(high).min(LARGEST).max(-LARGEST);
            let absent = quantised.simd_eq(0).to_bitmask();
            block.present |= (!absent & 0xffff) << (16 * index);
            quantised.store_slice(out);
        }
        block
    }
}

/// By how much the fast transform's coefficients are too large, in each direction.
fn scale(frequency: usize) -> f64 {
    let cosine = (frequency as f64 * std::f64::consts::PI / 16.0).cos();
    let norm = if frequency == 0 {
        1.0
    } else {
        std::f64::consts::SQRT_2
    };
    8f64.sqrt() * norm * cosine
}

/// Cosines of 4, 6 and 2 sixteenths of π; of the last two, their difference and sum.
const COS_4: f32 = std::f32::consts::FRAC_1_SQRT_2;
const COS_6: f32 = 0.382_683_43;
const COS_2_LESS_6: f32 = 0.541_196_1;
const COS_2_AND_6: f32 = 1.306_563;

/// Eight transforms side by side.
#[inline(always)]
fn transform<S: Simd>(x: [f32x8<S>; BLOCK]) -> [f32x8<S>; BLOCK] {
    let [sum0, sum1, sum2, sum3] = [x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]];
    let [difference0, difference1, difference2, difference3] =
        [x[0] - x[7], x[1] - x[6], x[2] - x[5], x[3] - x[4]];

    let (outer, inner) = (sum0 + sum3, sum1 + sum2);
    let unturned = sum0 - sum3;
    let turned = (unturned + sum1 - sum2) * COS_4;

    let (near, middle, far) = (
        difference3 + difference2,
        (difference2 + difference1) * COS_4,
        difference1 + difference0,
    );
    let common = (near - far) * COS_6;
    let low = near * COS_2_LESS_6 + common;
    let high = far * COS_2_AND_6 + common;
    let (plus, minus) = (difference0 + middle, difference0 - middle);
    [
        outer + inner,
        plus + high,
        unturned + turned,
        minus - low,
        outer - inner,
        minus + low,
        unturned - turned,
        plus - high,
    ]
}

/// Rows to columns: the elements of all rows shuffled like cards, three times.
#[inline(always)]
fn transpose<S: Simd>(mut rows: [f32x8<S>; BLOCK]) -> [f32x8<S>; BLOCK] {
    for _ in 0..3 {
        let (a, b) = rows[0].interleave(rows[4]);
        let (c, d) = rows[1].interleave(rows[5]);
        let (e, f) = rows[2].interleave(rows[6]);
        let (g, h) = rows[3].interleave(rows[7]);
        rows = [a, b, c, d, e, f, g, h];
    }
    rows
}
