//! Against a plain decoder of entropy codes, a plain scaler and a plain cosine transform.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use fearless_simd::Level;
use fearless_simd::prelude::*;
use proptest::prelude::*;

use super::*;

const BT709: Colour = Colour {
    kr: 0.2126,
    kb: 0.0722,
    full_range: false,
};

/// A picture of planes (I420), or with its colour differences side by side (NV12).
#[derive(Debug, Clone)]
struct Owned {
    layout: Layout,
    planes: Vec<(Vec<u8>, usize)>,
}

impl Owned {
    /// `sample` is given the component and the place. No byte follows the last sample.
    fn new(
        (width, height): (usize, usize),
        planar: bool,
        padding: usize,
        sample: impl Fn(usize, usize, usize) -> u8,
    ) -> Self {
        let components = if planar {
            [(0, 0, 1), (1, 0, 1), (2, 0, 1)]
        } else {
            [(0, 0, 1), (1, 0, 2), (1, 1, 2)]
        };
        let layout = Layout {
            width,
            height,
            components,
        };
        let planes = if planar { 3 } else { 2 };
        let mut planes: Vec<_> = (0..planes).map(|_| (Vec::new(), 0)).collect();
        for (component, (plane, offset, step)) in components.into_iter().enumerate() {
            let (width, height) = layout.samples(component);
            let stride = width * step + padding;
            let (data, its) = &mut planes[plane];
            *its = stride;
            let needs = (height - 1) * stride + offset + (width - 1) * step + 1;
            data.resize(data.len().max(needs), 0);
            for y in 0..height {
                for x in 0..width {
                    data[y * stride + offset + x * step] = sample(component, x, y);
                }
            }
        }
        Self { layout, planes }
    }

    fn picture(&self) -> Picture<'_> {
        let planes: Vec<_> = self
            .planes
            .iter()
            .map(|(data, stride)| Plane {
                data,
                stride: *stride,
            })
            .collect();
        Picture::new(self.layout, &planes).unwrap()
    }

    fn sample(&self, component: usize, x: usize, y: usize) -> f64 {
        let (plane, offset, step) = self.layout.components[component];
        let (data, stride) = &self.planes[plane];
        data[y * stride + offset + x * step].into()
    }

    /// Between samples, and the nearest beyond the edges.
    fn bilinear(&self, component: usize, target: (usize, usize), x: usize, y: usize) -> f64 {
        let source = self.layout.samples(component);
        let place = |index: usize, source: usize, target: usize| {
            let centre =
                ((index as f64 + 0.5) * source as f64 / target as f64 - 0.5).clamp(0.0, source as f64 - 1.0);
            (
                centre as usize,
                (centre as usize + 1).min(source - 1),
                centre.fract(),
            )
        };
        let (left, right, across) = place(x, source.0, target.0);
        let (above, below, down) = place(y, source.1, target.1);
        let row =
            |y| self.sample(component, left, y) * (1.0 - across) + self.sample(component, right, y) * across;
        row(above) * (1.0 - down) + row(below) * down
    }
}

/// What a JPEG decoder would show of a picture with these samples: by its matrix to colours, and by JFIF's back.
fn recoloured(colour: Colour, [y, u, v]: [f64; 3]) -> [f64; 3] {
    let (black, luma, difference) = if colour.full_range {
        (0.0, 255.0, 255.0)
    } else {
        (16.0, 219.0, 224.0)
    };
    let (y, u, v) = (
        (y - black) / luma,
        (u - 128.0) / difference,
        (v - 128.0) / difference,
    );
    let (r, b) = (y + 2.0 * (1.0 - colour.kr) * v, y + 2.0 * (1.0 - colour.kb) * u);
    let g = (y - colour.kr * r - colour.kb * b) / (1.0 - colour.kr - colour.kb);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [
        y * 255.0,
        (b - y) / 1.772 * 255.0 + 128.0,
        (r - y) / 1.402 * 255.0 + 128.0,
    ]
}

fn cosine_transform(samples: &[[f64; 8]; 8], u: usize, v: usize) -> f64 {
    let norm = |frequency: usize| if frequency == 0 { FRAC_1_SQRT_2 } else { 1.0 };
    let wave = |index: usize, frequency: usize| ((2 * index + 1) as f64 * frequency as f64 * PI / 16.0).cos();
    let sum: f64 = (0..64)
        .map(|place| samples[place / 8][place % 8] * wave(place % 8, u) * wave(place / 8, v))
        .sum();
    sum * norm(u) * norm(v) / 4.0
}

/// A JPEG's own tables and the coefficients of its components' blocks, each by rows.
#[derive(Default)]
struct Decoded {
    size: (usize, usize),
    steps: Vec<[i32; 64]>,
    /// By class and number: length and code to symbol.
    codes: std::collections::HashMap<(u8, u32, u32), u8>,
    /// By component: the blocks of a row, and all blocks.
    blocks: [(usize, Vec<[i32; 64]>); 3],
}

fn zigzag() -> Vec<usize> {
    let mut places: Vec<_> = (0..64).map(|place| (place / 8, place % 8)).collect();
    places.sort_by_key(|(row, column)| (row + column, if (row + column) % 2 == 0 { *column } else { *row }));
    places.into_iter().map(|(row, column)| 8 * row + column).collect()
}

fn decode(jpeg: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    assert_eq!(jpeg[..2], [0xff, 0xd8]);
    let mut rest = &jpeg[2..];
    loop {
        let (marker, length) = (rest[1], usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        assert_eq!(rest[0], 0xff);
        let content = &rest[4..2 + length];
        rest = &rest[2 + length..];
        match marker {
            0xdb => {
                let mut table = [0; 64];
                for (place, step) in zigzag().into_iter().zip(&content[1..]) {
                    table[place] = i32::from(*step);
                }
                decoded.steps.push(table);
            }
            0xc0 => {
                let number = |at: usize| usize::from(u16::from_be_bytes([content[at], content[at + 1]]));
                decoded.size = (number(3), number(1));
            }
            0xc4 => {
                let (mut code, mut symbols) = (0, content[17..].iter());
                for (length, count) in (1..).zip(&content[1..17]) {
                    for _ in 0..*count {
                        decoded
                            .codes
                            .insert((content[0], length, code), *symbols.next().unwrap());
                        code += 1;
                    }
                    code <<= 1;
                }
                assert!(symbols.next().is_none());
            }
            0xda => break,
            _ => {}
        }
    }
    decode_blocks(&mut decoded, rest);
    decoded
}

struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |bits, _| {
            let byte = self.0[self.1 / 8];
            self.1 += 1;
            bits << 1 | u32::from(byte >> (7 - (self.1 - 1) % 8) & 1)
        })
    }

    fn symbol(&mut self, decoded: &Decoded, table: u8) -> u8 {
        let mut code = 0;
        for length in 1..=16 {
            code = code << 1 | self.take(1);
            if let Some(symbol) = decoded.codes.get(&(table, length, code)) {
                return *symbol;
            }
        }
        panic!("no code of table {table:x} begins so: {code:016b}");
    }

    fn number(&mut self, size: u8) -> i32 {
        let bits = self.take(size.into()) as i32;
        if size > 0 && bits >> (size - 1) == 0 {
            bits - (1 << size) + 1
        } else {
            bits
        }
    }
}

fn decode_blocks(decoded: &mut Decoded, coded: &[u8]) {
    let (coded, end) = coded.split_at(coded.len() - 2);
    assert_eq!(end, [0xff, 0xd9]);
    let mut unstuffed = Vec::new();
    let mut bytes = coded.iter();
    while let Some(byte) = bytes.next() {
        unstuffed.push(*byte);
        assert!(
            *byte != 0xff || bytes.next() == Some(&0),
            "a marker among the codes"
        );
    }
    let mut bits = Bits(&unstuffed, 0);
    let (wide, high) = (decoded.size.0.div_ceil(16), decoded.size.1.div_ceil(16));
    let mut blocks = [2, 1, 1].map(|blocks| (wide * blocks, vec![[0; 64]; wide * high * blocks * blocks]));
    let (order, mut last) = (zigzag(), [0; 3]);
    for unit in 0..wide * high {
        for (component, x, y) in [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 0), (2, 0, 0)] {
            let (each, table) = if component == 0 { (2, 0) } else { (1, 1) };
            let (stride, blocks) = &mut blocks[component];
            let block = &mut blocks[(unit / wide * each + y) * *stride + unit % wide * each + x];
            let size = bits.symbol(decoded, table);
            last[component] += bits.number(size);
            block[0] = last[component];
            let mut place = 1;
            while place < 64 {
                let symbol = bits.symbol(decoded, 0x10 | table);
                match symbol {
                    0x00 => break,
                    0xf0 => place += 16,
                    _ => {
                        place += usize::from(symbol >> 4);
                        block[order[place]] = bits.number(symbol & 15);
                        place += 1;
                    }
                }
            }
        }
    }
    let left = (unstuffed.len() * 8 - bits.1) as u32;
    assert!(left < 8, "bytes are left over");
    assert_eq!(
        bits.take(left).count_ones(),
        left,
        "the last byte is filled with ones"
    );
    decoded.blocks = blocks;
}

/// Every set of vector instructions that this CPU has, the last one none.
fn levels() -> Vec<Level> {
    let mut levels = vec![Level::new()];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        levels.extend(Level::new().as_avx2().map(|simd| simd.level()));
        levels.extend(Level::new().as_sse4_2().map(|simd| simd.level()));
        levels.extend(Level::new().as_sse2().map(|simd| simd.level()));
    }
    levels.push(Level::fallback());
    levels
}

/// Each coefficient is the nearest to that of the picture, scaled and recoloured without rounding.
fn check(source: &Owned, colour: Colour, size: (u16, u16), quality: u8) {
    let mut jpegs = levels().into_iter().map(|level| {
        let mut encoder = Encoder::with_level(level, &source.layout, colour, size, quality);
        // What another picture leaves behind must not matter.
        let planar = source.planes.len() == 3;
        let before = Owned::new(
            (source.layout.width, source.layout.height),
            planar,
            3,
            |_, _, _| 200,
        );
        encoder.encode(&before.picture());
        encoder.encode(&source.picture()).to_vec()
    });
    let jpeg = jpegs.next().unwrap();
    assert!(
        jpegs.all(|other| other == jpeg),
        "levels of vector instructions differ"
    );
    let decoded = decode(&jpeg);
    let size = (usize::from(size.0), usize::from(size.1));
    assert_eq!(decoded.size, size);
    let sizes = [0, 1, 2].map(|component| picture::subsampled(size, component));
    for component in 0..3 {
        let (stride, blocks) = &decoded.blocks[component];
        let steps = &decoded.steps[component.min(1)];
        for (index, block) in blocks.iter().enumerate() {
            let samples: [[f64; 8]; 8] = std::array::from_fn(|row| {
                std::array::from_fn(|column| {
                    let (width, height) = sizes[component];
                    let (x, y) = (index % stride * 8 + column, index / stride * 8 + row);
                    let (x, y) = (x.min(width - 1), y.min(height - 1));
                    let there = |other: usize| {
                        let (x, y) = match (component, other) {
                            (0, 1 | 2) => (x / 2, y / 2),
                            _ => (x, y),
                        };
                        source.bilinear(other, sizes[other], x, y)
                    };
                    let luma = if component == 0 { there(0) } else { 128.0 };
                    recoloured(colour, [luma, there(1), there(2)])[component] - 128.0
                })
            });
            for place in 0..64 {
                let exact = cosine_transform(&samples, place % 8, place / 8);
                let (step, coded) = (f64::from(steps[place]), f64::from(block[place]));
                // Blacker than black is black.
                let most = if place == 0 { 1024.0 } else { f64::INFINITY };
                // Samples are rounded twice; the largest numbers are cut off.
                let exact = exact.clamp(-1023.0 * step, 1023.0 * step).clamp(-most, most);
                let off = ((coded * step).clamp(-most, most) - exact).abs();
                assert!(
                    off <= step / 2.0 + 10.0,
                    "component {component}, block {index}, {place}: {coded} × {step} for {exact}"
                );
            }
        }
    }
}

fn noise(seed: u32) -> impl Fn(usize, usize, usize) -> u8 {
    move |component, x, y| {
        let mut hash = seed ^ (component as u32) << 28 ^ (x as u32) << 14 ^ y as u32;
        for _ in 0..3 {
            hash = (hash ^ hash >> 15).wrapping_mul(0x2c1b_3c6d);
        }
        (hash >> 24) as u8
    }
}

fn colours() -> impl Strategy<Value = Colour> {
    let weights = prop_oneof![
        Just((0.299, 0.114)),
        Just((0.2126, 0.0722)),
        Just((0.2627, 0.0593))
    ];
    (weights, any::<bool>()).prop_map(|((kr, kb), full_range)| Colour { kr, kb, full_range })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_picture_is_what_plain_arithmetic_makes_of_it(
        source in (1usize..90, 1usize..60),
        size in (1u16..40, 1u16..40),
        planar: bool,
        padding in 0usize..20,
        colour in colours(),
        quality in 1u8..=100,
        seed: u32,
    ) {
        check(&Owned::new(source, planar, padding, noise(seed)), colour, size, quality);
    }
}

/// Blocks of few coefficients, far apart: smooth pictures, as most are.
#[test]
fn a_smooth_picture_is_coded_as_noise_is() {
    let smooth = |component: usize, x: usize, y: usize| (40 * component + 2 * x + y + 9 * (x / 24)) as u8;
    for quality in [5, 40, 85, 100] {
        check(
            &Owned::new((80, 60), true, 0, smooth),
            Colour::JFIF,
            (52, 39),
            quality,
        );
        check(&Owned::new((80, 60), false, 5, smooth), BT709, (80, 60), quality);
    }
}

#[test]
fn black_and_white_of_limited_range_become_those_of_full_range() {
    let half = |component: usize, x: usize, _| {
        if component > 0 {
            128
        } else if x < 32 {
            16
        } else {
            235
        }
    };
    let source = Owned::new((64, 16), true, 0, half);
    let mut encoder = Encoder::new(&source.layout, BT709, (64, 16), 100);
    let decoded = decode(encoder.encode(&source.picture()));
    // A block's first coefficient is eight times its mean; 128 is taken from all samples before.
    let firsts: Vec<_> = decoded.blocks[0].1.iter().map(|block| block[0]).collect();
    assert_eq!(firsts[..8], [-1023, -1023, -1023, -1023, 1016, 1016, 1016, 1016]);
}

#[test]
fn full_range_is_not_stretched_again() {
    let source = Owned::new(
        (16, 16),
        true,
        0,
        |component, _, _| if component > 0 { 128 } else { 16 },
    );
    let mut encoder = Encoder::new(&source.layout, Colour::JFIF, (16, 16), 100);
    let decoded = decode(encoder.encode(&source.picture()));
    assert_eq!(decoded.blocks[0].1[0][0], 8 * (16 - 128));
}

#[test]
fn a_picture_without_all_its_samples_is_refused() {
    let whole = Owned::new((20, 10), false, 0, noise(1));
    let [luma, colour] = [0, 1].map(|index| {
        let (data, stride) = &whole.planes[index];
        Plane {
            data,
            stride: *stride,
        }
    });
    let short = Plane {
        data: &luma.data[..luma.data.len() - 1],
        ..luma
    };
    let error = Picture::new(whole.layout, &[short, colour])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "plane 0 has 199 bytes; the picture needs 200");
    let error = Picture::new(whole.layout, &[luma]).unwrap_err().to_string();
    assert_eq!(error, "there is no plane 1");
}
