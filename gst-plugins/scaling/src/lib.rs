//! Bilinear scaling of bytes as OpenCV's `INTER_LINEAR` does it: first in width, then in height.
//!
//! A row is scaled in width by [`Columns::scale`], and two of those become a scaled row by [`blend`]. Both are inlined, so
//! that they are compiled for the caller's vector instructions.

use fearless_simd::prelude::*;
use fearless_simd::{Level, i16x16, i32x8, u8x16, u8x32};

/// Weights are in units of 1/2048.
const ONE: i32 = 1 << 11;

/// Bytes that a vector instruction can pick samples from.
pub const WINDOW: usize = 16;
/// Samples of a scaled row that are computed at a time.
const GROUP: usize = 8;

/// The two source samples that one output sample lies between, and their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    pub first: usize,
    pub second: usize,
    weights: [i16; 2],
}

/// The taps that scale `source` samples to `target`; beyond the edges the last sample repeats.
pub fn taps(source: usize, target: usize) -> Vec<Tap> {
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

/// How rows are scaled in width.
pub struct Columns {
    taps: Vec<Tap>,
    /// The same, for vector instructions; an even number. None if they cannot pick bytes, or not that far apart.
    groups: Option<Vec<Group>>,
}

impl Columns {
    pub fn new(level: Level, source: usize, target: usize) -> Self {
        let taps = taps(source, target);
        let groups = picks_bytes(level).then(|| groups(&taps)).flatten();
        Self { taps, groups }
    }

    /// Samples that [`Self::scale`] writes: a scaled row, filled up to whole vectors.
    pub fn scaled_len(&self) -> usize {
        self.taps.len().next_multiple_of(2 * GROUP)
    }

    /// Scales a row, in units of 1/128. [`WINDOW`] bytes of any value must follow its samples.
    #[inline(always)]
    pub fn scale<S: Simd>(&self, simd: S, samples: &[u8], out: &mut [i16]) {
        match &self.groups {
            Some(groups) => interpolate_groups(simd, samples, groups, out),
            None => interpolate(samples, &self.taps, out),
        }
    }
}

/// Whether there is an instruction that picks bytes of a vector: without one, vectors are slower than single samples.
fn picks_bytes(level: Level) -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return level.as_sse4_2().is_some();
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    return !level.is_fallback();
}

fn groups(taps: &[Tap]) -> Option<Vec<Group>> {
    let mut groups = taps.chunks(GROUP).map(Group::new).collect::<Option<Vec<_>>>()?;
    if groups.len() % 2 == 1 {
        groups.extend(groups.last().copied());
    }
    Some(groups)
}

/// The taps of eight samples.
#[derive(Clone, Copy)]
struct Group {
    /// Where the windows of four samples each start.
    windows: [usize; 2],
    /// For each sample, the places of its two source samples in the window, twice each.
    places: [u8; 4 * GROUP],
    weights: [i16; 2 * GROUP],
}

impl Group {
    /// Nothing if the source samples do not lie in the windows. Less than eight taps are filled up with the last.
    fn new(taps: &[Tap]) -> Option<Self> {
        let tap = |index: usize| taps[index.min(taps.len() - 1)];
        let windows = [tap(0).first, tap(GROUP / 2).first];
        let mut group = Self {
            windows,
            places: [0; 4 * GROUP],
            weights: [0; 2 * GROUP],
        };
        let (places, _) = group.places.as_chunks_mut::<4>();
        let (weights, _) = group.weights.as_chunks_mut::<2>();
        for (index, (places, weights)) in places.iter_mut().zip(weights).enumerate() {
            let tap = tap(index);
            let place =
                |sample: usize| Some(sample - windows[index / (GROUP / 2)]).filter(|place| *place < WINDOW);
            let [first, second] = [place(tap.first)? as u8, place(tap.second)? as u8];
            *places = [first, first, second, second];
            *weights = tap.weights;
        }
        Some(group)
    }

    /// Eight samples of a scaled row, in units of 1/128.
    #[inline(always)]
    fn interpolate<S: Simd>(&self, simd: S, samples: &[u8]) -> i32x8<S> {
        let [left, right] = self.windows;
        let left = u8x16::from_slice(simd, &samples[left..][..WINDOW]);
        let right = u8x16::from_slice(simd, &samples[right..][..WINDOW]);
        let places = u8x32::simd_from(simd, self.places);
        let pairs: i16x16<S> = left.combine(right).swizzle_dyn_within_blocks(places).bitcast();
        let products = (pairs & 0xff).pairwise_dot_product(i16x16::simd_from(simd, self.weights));
        products >> DROPPED
    }
}

/// 8 bits times 11 bits, less the 4 that OpenCV drops before the second pass: 15 bits.
const DROPPED: u32 = 4;

#[inline(always)]
fn interpolate_groups<S: Simd>(simd: S, samples: &[u8], groups: &[Group], out: &mut [i16]) {
    let (pairs, _) = groups.as_chunks::<2>();
    for ([low, high], out) in pairs.iter().zip(out.chunks_exact_mut(2 * GROUP)) {
        let (low, high) = (low.interpolate(simd, samples), high.interpolate(simd, samples));
        low.relaxed_narrow(high).store_slice(out);
    }
}

#[inline(always)]
fn interpolate(samples: &[u8], taps: &[Tap], out: &mut [i16]) {
    for (out, tap) in out.iter_mut().zip(taps) {
        let [a, b] = [samples[tap.first], samples[tap.second]].map(i32::from);
        let [wa, wb] = tap.weights.map(i32::from);
        *out = ((a * wa + b * wb) >> DROPPED) as i16;
    }
}

/// What a sample, from 0 to 255, is written as.
pub trait Sample: Copy {
    fn of(value: i16) -> Self;
}

impl Sample for u8 {
    #[inline(always)]
    fn of(value: i16) -> Self {
        value as u8
    }
}

impl Sample for f32 {
    #[inline(always)]
    fn of(value: i16) -> Self {
        value.into()
    }
}

/// The upper half of a product.
#[inline(always)]
pub fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// Writes the row between two rows that are scaled in width, rounded to whole numbers.
#[inline(always)]
pub fn blend<T: Sample>(first: &[i16], second: &[i16], tap: &Tap, out: &mut [T]) {
    let [wa, wb] = tap.weights;
    for ((out, a), b) in out.iter_mut().zip(first).zip(second) {
        *out = T::of((high(*a, wa) + high(*b, wb) + 2) >> 2);
    }
}

/// Samples of two rows that are blended at a time: with a number known to it, the compiler sees that products of 16 bits suffice.
pub const LANES: usize = 16;

/// As [`blend`], but in quarters, for rows of whole [`LANES`].
#[inline(always)]
pub fn blend_in_quarters(first: &[i16], second: &[i16], tap: &Tap, out: &mut [i16]) {
    let [wa, wb] = tap.weights;
    let sources = first.as_chunks::<LANES>().0.iter().zip(second.as_chunks().0);
    for (out, (first, second)) in out.as_chunks_mut().0.iter_mut().zip(sources) {
        *out = quarters(first, second, wa, wb);
    }
}

#[inline(always)]
fn quarters(first: &[i16; LANES], second: &[i16; LANES], wa: i16, wb: i16) -> [i16; LANES] {
    let mut out = [0; LANES];
    for lane in 0..LANES {
        out[lane] = high(first[lane], wa) + high(second[lane], wb);
    }
    out
}
