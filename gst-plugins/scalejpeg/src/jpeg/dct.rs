//! The cosine transform of a block, and its quantisation.
//!
//! The transform is that of Arai, Agui and Nakajima ("A Fast DCT-SQ Scheme for Images", 1988): 5 multiplications for 8
//! samples, because the scale of each coefficient is left to the quantiser. Its numbers have 16 bits, which is what vectors
//! hold most of: two blocks side by side fill one, and the loops below are written so that compilers see that.

use fearless_simd::prelude::*;
use fearless_simd::{i16x8, i16x16};
use sightline_scaling::high;

use super::colour::Levels;
use super::strip::Pair;
use super::{BLOCK, UNIT};

/// The largest coefficient that baseline Huffman codes have room for. Where steps are 2 or more, none is larger.
const LARGEST: i16 = 1023;

/// Quantised coefficients.
#[derive(Clone)]
#[repr(align(32))]
pub(super) struct Block {
    /// By columns: the coefficient of horizontal frequency u and vertical frequency v is at 8 u + v.
    pub(super) coefficients: [i16; 64],
    /// A bit for each that is not 0, in the order in which they are coded.
    pub(super) present: u64,
}

impl Block {
    pub(super) const EMPTY: Self = Self {
        coefficients: [0; 64],
        present: 0,
    };

    /// Row and column of each coefficient in the order in which they are coded.
    pub(super) fn scan() -> [(usize, usize); 64] {
        SCAN.map(|place| (usize::from(place) % BLOCK, usize::from(place) / BLOCK))
    }

    /// The coefficient that is coded `place`th.
    #[inline(always)]
    pub(super) fn in_scan(&self, place: u32) -> i16 {
        self.coefficients[usize::from(SCAN[place as usize & 63]) & 63]
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

/// A number for each coefficient of two blocks side by side, by columns.
type Table = [[i16; UNIT]; BLOCK];

/// What coefficients become: (coefficient + added) × factor / 2^(16 + shift).
pub(super) struct Quantiser {
    added: Table,
    factors: Table,
    shift: u32,
    /// Where a step of the quantisation table is 1: all ones for a coefficient that is to be added once more, as factors are less
    /// than a half.
    whole: Option<Table>,
}

impl Quantiser {
    /// `table` is a JPEG's quantisation table, by rows.
    pub(super) fn new(table: &[u8; 64], levels: Levels) -> Self {
        let unit = f64::from(1 << SECOND_BITS);
        // Less than 1.
        let exact = |u: usize, v: usize| {
            let step = f64::from(table[v * BLOCK + u]);
            levels.factor / (step * scale(u) * scale(v) * unit)
        };
        let places = || (0..BLOCK).flat_map(|u| (0..BLOCK).map(move |v| (u, v)));
        let largest = places().map(|(u, v)| exact(u, v)).fold(0.0, f64::max);
        let shift = (0.5 / largest).log2().clamp(0.0, 15.0) as u32;
        let (mut added, mut factors, mut whole) =
            ([[0; UNIT]; BLOCK], [[0; UNIT]; BLOCK], [[0; UNIT]; BLOCK]);
        for (u, v) in places() {
            let exact = exact(u, v);
            let wholes = i16::from(exact >= 0.5);
            let factor = exact - f64::from(wholes);
            // A half, for it is rounded down. The first coefficient is the sum of all samples.
            let centre = if (u, v) == (0, 0) {
                64.0 * levels.centre * unit
            } else {
                0.0
            };
            for lane in [v, BLOCK + v] {
                added[u][lane] = (0.5 / factor - centre).round() as i16;
                factors[u][lane] = (factor * f64::from(1u32 << (16 + shift))).round() as i16;
                whole[u][lane] = -wholes;
            }
        }
        Self {
            added,
            factors,
            shift,
            whole: table.contains(&1).then_some(whole),
        }
    }

    /// Transforms and quantises two blocks.
    #[inline(always)]
    pub(super) fn transform<S: Simd>(&self, simd: S, samples: &Pair, blocks: &mut [Block; 2]) {
        let columns = self.quantised(&transform(&transpose(simd, &transform(samples))));
        let mut presents = [0; 2];
        for (u, column) in columns.iter().enumerate() {
            let present = !i16x16::simd_from(simd, *column).simd_eq(0).to_bitmask();
            for (all, present) in presents.iter_mut().zip(present.to_le_bytes()) {
                *all |= SCAN_BITS[u][usize::from(present)];
            }
            for (block, half) in blocks.iter_mut().zip(column.as_chunks::<BLOCK>().0) {
                block.coefficients.as_chunks_mut::<BLOCK>().0[u] = *half;
            }
        }
        for (block, present) in blocks.iter_mut().zip(presents) {
            block.present = present;
        }
    }

    #[inline(always)]
    fn quantised(&self, columns: &Table) -> Table {
        let mut quantised = [[0; UNIT]; BLOCK];
        for (u, column) in columns.iter().enumerate() {
            quantised[u] = scaled(column, &self.added[u], &self.factors[u], self.shift);
        }
        if let Some(whole) = &self.whole {
            for (u, column) in columns.iter().enumerate() {
                quantised[u] = bounded(&quantised[u], column, &whole[u]);
            }
        }
        quantised
    }
}

/// Arrays are made, here and below, not changed: so the compiler sees that nothing depends on what is written.
#[inline(always)]
fn scaled(column: &[i16; UNIT], added: &[i16; UNIT], factors: &[i16; UNIT], shift: u32) -> [i16; UNIT] {
    let mut out = [0; UNIT];
    for lane in 0..UNIT {
        out[lane] = high(column[lane].saturating_add(added[lane]), factors[lane]) >> (shift & 15);
    }
    out
}

#[inline(always)]
fn bounded(parts: &[i16; UNIT], column: &[i16; UNIT], whole: &[i16; UNIT]) -> [i16; UNIT] {
    let mut out = [0; UNIT];
    for lane in 0..UNIT {
        out[lane] = parts[lane]
            .saturating_add(column[lane] & whole[lane])
            .clamp(-LARGEST, LARGEST);
    }
    out
}

/// Bits behind the point of the second transform's numbers. The first one's have two, as samples have; one is dropped between, or the
/// sum of 64 samples would find no room.
const SECOND_BITS: u32 = 1;
const DROPPED: u32 = 1;

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

/// `x` × (1 + `part` / 2¹⁶), or without the 1: `x` is moved by about as much as makes up for rounding down.
#[inline(always)]
fn times_one_and(x: i16, part: i16) -> i16 {
    x.saturating_add(high(x.saturating_add(if part < 0 { -1 } else { 1 }), part))
}

/// Cosines of 4, 6 and 2 sixteenths of π, less the nearest whole number; of the last two, their difference and sum.
const COS_4: i16 = part(std::f64::consts::FRAC_1_SQRT_2 - 1.0);
const COS_6: i16 = part(0.382_683_432_365);
const COS_2_LESS_6: i16 = part(0.541_196_100_146 - 1.0);
const COS_2_AND_6: i16 = part(1.306_562_964_876 - 1.0);

const fn part(value: f64) -> i16 {
    (value * 65536.0 + if value < 0.0 { -0.5 } else { 0.5 }) as i16
}

/// Sixteen transforms side by side. No array is mapped, here and above: its closure would not be compiled for the vector instructions
/// of the caller.
#[inline(always)]
fn transform(rows: &Pair) -> Pair {
    let mut out = [[0; UNIT]; BLOCK];
    for lane in 0..UNIT {
        let mut x = [0; BLOCK];
        for (x, row) in x.iter_mut().zip(rows) {
            *x = row[lane];
        }
        for (out, x) in out.iter_mut().zip(transform_eight(x)) {
            out[lane] = x;
        }
    }
    out
}

/// What has no room is the largest there is: no picture makes one, noise that changes its matrix might.
#[inline(always)]
fn transform_eight(x: [i16; BLOCK]) -> [i16; BLOCK] {
    let (plus, minus) = (i16::saturating_add, i16::saturating_sub);
    let [sum0, sum1, sum2, sum3] = [
        plus(x[0], x[7]),
        plus(x[1], x[6]),
        plus(x[2], x[5]),
        plus(x[3], x[4]),
    ];
    let [difference0, difference1, difference2, difference3] = [
        minus(x[0], x[7]),
        minus(x[1], x[6]),
        minus(x[2], x[5]),
        minus(x[3], x[4]),
    ];

    let (outer, inner) = (plus(sum0, sum3), plus(sum1, sum2));
    let unturned = minus(sum0, sum3);
    let turned = times_one_and(plus(unturned, minus(sum1, sum2)), COS_4);

    let (near, middle, far) = (
        plus(difference3, difference2),
        times_one_and(plus(difference2, difference1), COS_4),
        plus(difference1, difference0),
    );
    let common = high(minus(near, far).saturating_add(1), COS_6);
    let low = plus(times_one_and(near, COS_2_LESS_6), common);
    let high = plus(times_one_and(far, COS_2_AND_6), common);
    let (even, odd) = (plus(difference0, middle), minus(difference0, middle));
    [
        plus(outer, inner),
        plus(even, high),
        plus(unturned, turned),
        minus(odd, low),
        minus(outer, inner),
        plus(odd, low),
        minus(unturned, turned),
        minus(even, high),
    ]
}

/// The rows of each block to columns, without the dropped bits.
#[inline(always)]
fn transpose<S: Simd>(simd: S, rows: &Pair) -> Pair {
    let mut halves = [[i16x8::splat(simd, 0); BLOCK]; 2];
    for (index, half) in halves.iter_mut().enumerate() {
        for (half, row) in half.iter_mut().zip(rows) {
            *half = i16x8::from_slice(simd, &row[BLOCK * index..][..BLOCK]);
        }
        *half = transpose_block(*half);
    }
    let mut out = [[0; UNIT]; BLOCK];
    let [left, right] = halves;
    for (out, (left, right)) in out.iter_mut().zip(left.into_iter().zip(right)) {
        let rounded: i16x16<S> = (left.combine(right) + (1 << (DROPPED - 1))) >> DROPPED;
        rounded.store_slice(out);
    }
    out
}

/// The elements of all rows are shuffled like cards, three times.
#[inline(always)]
fn transpose_block<S: Simd>(mut rows: [i16x8<S>; BLOCK]) -> [i16x8<S>; BLOCK] {
    for _ in 0..3 {
        let (a, b) = rows[0].interleave(rows[4]);
        let (c, d) = rows[1].interleave(rows[5]);
        let (e, f) = rows[2].interleave(rows[6]);
        let (g, h) = rows[3].interleave(rows[7]);
        rows = [a, b, c, d, e, f, g, h];
    }
    rows
}
