//! Against OpenCV's own output, and against slow, obvious references.

use fearless_simd::Level;
use fearless_simd::prelude::*;
use proptest::prelude::*;

use super::*;

/// Places of red, green and blue, or of luma and the colour differences, in the packed formats.
const PACKED: [([usize; 3], usize); 6] = [
    ([0, 1, 2], 3), // RGB
    ([2, 1, 0], 3), // BGR
    ([0, 1, 2], 4), // RGBx
    ([2, 1, 0], 4), // BGRx
    ([1, 2, 3], 4), // xRGB
    ([3, 2, 1], 4), // xBGR
];

const BT601: (f64, f64) = (0.299, 0.114);
const BT709: (f64, f64) = (0.2126, 0.0722);
const BT2020: (f64, f64) = (0.2627, 0.0593);

/// A pattern with steep edges: component `c` (0 is blue) at (x, y).
fn pattern(x: usize, y: usize, c: usize) -> u8 {
    ((x * 37 + y * 59 + c * 83 + (x * y) % 7 * 11) % 256) as u8
}

fn packed(width: usize, height: usize, offsets: [usize; 3], step: usize) -> Layout {
    let components = offsets.map(|offset| Component {
        plane: 0,
        offset,
        step,
        subsampling: (0, 0),
    });
    Layout {
        width,
        height,
        colour: Colour::Rgb,
        components,
    }
}

/// The pattern in a packed format, with rows of `stride` bytes.
fn packed_pixels(layout: &Layout, stride: usize) -> Vec<u8> {
    let mut pixels = vec![0xaa; layout.height * stride];
    for y in 0..layout.height {
        for x in 0..layout.width {
            for (component, c) in layout.components.iter().zip([2, 1, 0]) {
                pixels[y * stride + x * component.step + component.offset] = pattern(x, y, c);
            }
        }
    }
    pixels
}

fn one_plane(data: &[u8], stride: usize) -> [Plane<'_>; 3] {
    [Plane { data, stride }; 3]
}

fn tensor(layout: Layout, planes: [Plane; 3], input: (usize, usize)) -> Vec<f32> {
    let mut preprocessor = Preprocessor::new(layout, input);
    let mut tensor = vec![0.0; 3 * input.0 * input.1];
    preprocessor.pad(&mut tensor);
    preprocessor.fill(&Picture::new(layout, planes).unwrap(), &mut tensor);
    tensor
}

fn pattern_tensor(size: (usize, usize), input: (usize, usize)) -> Vec<f32> {
    let layout = packed(size.0, size.1, [2, 1, 0], 3);
    let pixels = packed_pixels(&layout, size.0 * 3);
    tensor(layout, one_plane(&pixels, size.0 * 3), input)
}

/// The picture's part of a tensor.
fn picture_of(tensor: &[f32], input: (usize, usize), size: (usize, usize)) -> Vec<f32> {
    let planes = tensor.chunks(input.0 * input.1);
    let rows = planes.flat_map(|plane| plane.chunks(input.0).take(size.1));
    rows.flat_map(|row| row[..size.0].to_vec()).collect()
}

#[test]
fn shrinking_equals_opencv() {
    let tensor = pattern_tensor((13, 9), (7, 5));
    // cv2.resize(pattern, (7, 4), interpolation=cv2.INTER_LINEAR), planar
    let expected = [
        55, 137, 196, 140, 77, 159, 149, 199, 74, 111, 181, 231, 64, 115, 86, 161, 194, 33, 129, 148, 12,
        156, 131, 93, 170, 135, 83, 114, 139, 174, 128, 127, 160, 128, 109, 44, 134, 194, 40, 63, 138, 198,
        156, 212, 85, 116, 185, 222, 95, 115, 100, 163, 157, 67, 121, 142, 153, 116, 128, 50, 106, 96, 150,
        109, 217, 53, 91, 141, 221, 57, 124, 71, 168, 199, 71, 81, 178, 107, 155, 163, 80, 127, 135, 184,
    ];
    assert_eq!(
        picture_of(&tensor, (7, 5), (7, 4)),
        expected.map(|value: i32| value as f32)
    );
    assert!(
        tensor
            .chunks(35)
            .all(|plane| plane[28..].iter().all(|padding| *padding == 114.0))
    );
}

#[test]
fn growing_equals_opencv() {
    let tensor = pattern_tensor((5, 4), (8, 7));
    // cv2.resize(pattern, (8, 6), interpolation=cv2.INTER_LINEAR), planar
    let expected = [
        0, 16, 39, 62, 85, 109, 132, 148, 30, 48, 75, 101, 128, 154, 181, 200, 69, 90, 122, 153, 171, 175,
        196, 212, 108, 133, 169, 205, 174, 76, 62, 59, 148, 176, 208, 168, 116, 53, 61, 73, 177, 208, 235,
        119, 59, 54, 93, 124, 83, 99, 122, 145, 168, 192, 215, 231, 113, 131, 158, 184, 171, 117, 136, 155,
        152, 155, 162, 193, 158, 55, 66, 82, 191, 123, 38, 74, 97, 106, 102, 99, 103, 75, 43, 83, 111, 128,
        144, 156, 4, 35, 78, 122, 142, 137, 176, 207, 166, 182, 205, 228, 171, 35, 42, 58, 196, 158, 113,
        139, 126, 72, 91, 110, 192, 120, 32, 63, 94, 125, 149, 165, 61, 67, 79, 115, 150, 186, 186, 183, 58,
        86, 126, 166, 194, 211, 155, 111, 87, 118, 161, 205, 225, 220, 115, 34,
    ];
    assert_eq!(
        picture_of(&tensor, (8, 7), (8, 6)),
        expected.map(|value: i32| value as f32)
    );
}

#[test]
fn a_picture_of_the_models_size_is_copied() {
    let tensor = pattern_tensor((32, 24), (32, 32));
    for (c, plane) in tensor.chunks(32 * 32).enumerate() {
        for (index, value) in plane.iter().enumerate() {
            let (x, y) = (index % 32, index / 32);
            let expected = if y < 24 {
                f32::from(pattern(x, y, c))
            } else {
                114.0
            };
            assert_eq!(*value, expected, "channel {c} at ({x}, {y})");
        }
    }
}

#[test]
fn a_preprocessor_is_used_again() {
    // Of two rows, the scaled ones of the last picture are still there.
    for size in [(50, 20), (50, 2)] {
        let layout = packed(size.0, size.1, [2, 1, 0], 3);
        let pixels = packed_pixels(&layout, 150);
        let black = vec![0; pixels.len()];
        let mut preprocessor = Preprocessor::new(layout, (32, 32));
        let mut again = vec![0.0; 3 * 32 * 32];
        preprocessor.pad(&mut again);
        for pixels in [&pixels, &black, &pixels] {
            let picture = Picture::new(layout, one_plane(pixels, 150)).unwrap();
            preprocessor.fill(&picture, &mut again);
            assert_eq!(
                again,
                tensor(layout, one_plane(pixels, 150), (32, 32)),
                "{size:?}"
            );
        }
        assert_eq!(again, pattern_tensor(size, (32, 32)), "{size:?}");
    }
}

#[test]
fn the_letterbox_is_the_demos() {
    let dog = Letterbox::new((768, 576), (416, 416));
    assert_eq!((dog.width, dog.height), (416, 312));
    assert_eq!(dog.ratio, 416.0 / 768.0);
    let tall = Letterbox::new((3, 1000), (416, 256));
    assert_eq!((tall.width, tall.height), (1, 256));
    let line = Letterbox::new((10_000, 1), (416, 416));
    assert_eq!((line.width, line.height), (416, 1));
}

#[test]
fn too_little_memory_is_refused() {
    let layout = packed(10, 10, [2, 1, 0], 3);
    let pixels = vec![0; 300];
    assert!(Picture::new(layout, one_plane(&pixels, 30)).is_ok());
    assert!(Picture::new(layout, one_plane(&pixels, 31)).is_err());
    assert!(Picture::new(layout, one_plane(&pixels[..299], 30)).is_err());
}

fn planar(size: (usize, usize), kr_kb: (f64, f64), full: bool, chroma: Chroma, sub: (u32, u32)) -> Layout {
    let component = |plane, subsampling| Component {
        plane,
        offset: 0,
        step: 1,
        subsampling,
    };
    Layout {
        width: size.0,
        height: size.1,
        colour: Colour::Yuv(Coefficients::new(kr_kb.0, kr_kb.1, full), chroma),
        components: [component(0, (0, 0)), component(1, sub), component(2, sub)],
    }
}

/// One colour, as planes of luma and colour differences with odd strides, as a pixel of blue, green, red.
fn colour(yuv: [u8; 3], kr_kb: (f64, f64), full: bool, sub: (u32, u32)) -> [f32; 3] {
    let layout = planar((7, 5), kr_kb, full, Chroma::Centred, sub);
    let data = yuv.map(|value| vec![value; 9 * 5]);
    let planes = [0, 1, 2].map(|index: usize| Plane {
        data: &data[index],
        stride: 9,
    });
    let tensor = tensor(layout, planes, (7, 5));
    let pixel = [0, 1, 2].map(|channel: usize| tensor[channel * 35]);
    for (channel, plane) in tensor.chunks(35).enumerate() {
        assert!(
            plane.iter().all(|value| *value == pixel[channel]),
            "one colour only"
        );
    }
    pixel
}

#[test]
fn colours_follow_matrix_and_range() {
    // Known values of pure colours in the standards.
    assert_eq!(colour([76, 85, 255], BT601, true, (1, 1)), [0.0, 0.0, 254.0]);
    assert_eq!(colour([81, 90, 240], BT601, false, (1, 1)), [0.0, 0.0, 254.0]);
    assert_eq!(colour([63, 102, 240], BT709, false, (1, 0)), [0.0, 1.0, 255.0]);
    for full in [true, false] {
        let (black, white) = if full { (0, 255) } else { (16, 235) };
        assert_eq!(colour([black, 128, 128], BT601, full, (0, 0)), [0.0; 3]);
        assert_eq!(colour([white, 128, 128], BT709, full, (0, 0)), [255.0; 3]);
    }
}

#[test]
fn chroma_is_interpolated_where_it_lies() {
    let (luma, u) = (vec![128; 8], vec![128; 4]);
    let ramp = [64, 96, 128, 160];
    let red = |chroma| -> Vec<f32> {
        let layout = planar((8, 1), BT601, true, chroma, (1, 1));
        let planes = [&luma[..], &u, &ramp].map(|data| Plane { data, stride: 8 });
        tensor(layout, planes, (8, 1))[16..].to_vec()
    };
    let expected = |samples: [f64; 8]| {
        samples
            .map(|v| (128.0 + 1.402 * (v - 128.0)).round() as f32)
            .to_vec()
    };
    assert_eq!(
        red(Chroma::Centred),
        expected([64.0, 72.0, 88.0, 104.0, 120.0, 136.0, 152.0, 160.0])
    );
    assert_eq!(
        red(Chroma::Cosited),
        expected([64.0, 80.0, 96.0, 112.0, 128.0, 144.0, 160.0, 160.0])
    );
}

#[test]
fn grey_is_three_times_luma() {
    let mut layout = planar((4, 4), BT601, true, Chroma::Centred, (0, 0));
    let Colour::Yuv(coefficients, _) = layout.colour else {
        unreachable!()
    };
    layout.colour = Colour::Gray(coefficients);
    let luma: Vec<u8> = (0..16).map(|value| value * 17).collect();
    let tensor = tensor(layout, one_plane(&luma, 4), (4, 4));
    let expected: Vec<f32> = luma.iter().map(|value| f32::from(*value)).collect();
    assert!(tensor.chunks(16).all(|plane| plane == expected));
}

/// Compares what becomes of one colour with the standards' formula.
fn assert_formula([y, u, v]: [u8; 3], (kr, kb): (f64, f64), full: bool) {
    let found = colour([y, u, v], (kr, kb), full, (0, 0));
    let (y, scale) = if full {
        (f64::from(y), 1.0)
    } else {
        ((f64::from(y) - 16.0) * 255.0 / 219.0, 255.0 / 224.0)
    };
    let (u, v) = ((f64::from(u) - 128.0) * scale, (f64::from(v) - 128.0) * scale);
    let (red, blue) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    for (found, exact) in found.iter().zip([blue, green, red]) {
        let distance = (f64::from(*found) - exact.clamp(0.0, 255.0)).abs();
        assert!(distance <= 0.53, "{found} is not {exact}");
    }
}

#[test]
fn extreme_colours_follow_the_formula() {
    let samples = [0, 1, 15, 16, 64, 127, 128, 129, 200, 235, 240, 254, 255];
    for matrix in [BT601, BT709, BT2020] {
        for y in samples {
            for u in samples {
                for v in samples {
                    assert_formula([y, u, v], matrix, true);
                    assert_formula([y, u, v], matrix, false);
                }
            }
        }
    }
}

/// Bilinear interpolation by its definition.
fn bilinear(size: (usize, usize), scaled: (usize, usize), x: usize, y: usize, c: usize) -> f64 {
    let place = |index: usize, size: usize, scaled: usize| {
        ((index as f64 + 0.5) * size as f64 / scaled as f64 - 0.5).clamp(0.0, (size - 1) as f64)
    };
    let (px, py) = (place(x, size.0, scaled.0), place(y, size.1, scaled.1));
    let at = |x: f64, y: f64| {
        f64::from(pattern(
            (x as usize).min(size.0 - 1),
            (y as usize).min(size.1 - 1),
            c,
        ))
    };
    let (left, top) = (px.floor(), py.floor());
    let (fx, fy) = (px - left, py - top);
    let upper = at(left, top) * (1.0 - fx) + at(left + 1.0, top) * fx;
    let lower = at(left, top + 1.0) * (1.0 - fx) + at(left + 1.0, top + 1.0) * fx;
    upper * (1.0 - fy) + lower * fy
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

/// OpenCV's own arithmetic, sample by sample: 11 bits of weight in both directions, 4 bits dropped between them,
/// then 16, rounded at the second of the last two.
fn opencv(samples: &[u8], size: (usize, usize), scaled: (usize, usize), x: usize, y: usize) -> i32 {
    let tap = |index: usize, size: usize, scaled: usize| {
        let centre = ((index as f64 + 0.5) * (size as f64 / scaled as f64) - 0.5) as f32;
        let weight = ((centre - centre.floor()) * 2048.0).round_ties_even() as i32;
        let clip = |place: i32| place.clamp(0, size as i32 - 1) as usize;
        let first = centre.floor() as i32;
        ([clip(first), clip(first + 1)], [2048 - weight, weight])
    };
    let ((columns, across), (rows, down)) = (tap(x, size.0, scaled.0), tap(y, size.1, scaled.1));
    let row = |y: usize| {
        let sum: i32 = (0..2)
            .map(|side| i32::from(samples[y * size.0 + columns[side]]) * across[side])
            .sum();
        sum >> 4
    };
    let sum: i32 = (0..2).map(|side| (row(rows[side]) * down[side]) >> 16).sum();
    (sum + 2) >> 2
}

/// A layout of a kind of format with samples that have `gap` bytes between rows, and how long its planes must be.
fn any_layout(kind: usize, size: (usize, usize), gap: usize) -> (Layout, [usize; 3], [usize; 3]) {
    let (width, height) = size;
    let mut layout = planar(size, BT709, false, Chroma::Cosited, (1, 1));
    let half = width.div_ceil(2);
    let strides = match kind {
        0 => [width, half, half],
        1 => {
            layout = planar(size, BT601, true, Chroma::Centred, (1, 0));
            [width, half, half]
        }
        // NV12 and YUY2.
        2 => {
            (layout.components[1].step, layout.components[2].step) = (2, 2);
            [width, 2 * half, 2 * half]
        }
        3 => {
            let component = |offset, step, x| Component {
                plane: 0,
                offset,
                step,
                subsampling: (x, 0),
            };
            layout.components = [component(0, 2, 0), component(1, 4, 1), component(3, 4, 1)];
            [4 * half, 0, 0]
        }
        4 => {
            let Colour::Yuv(coefficients, _) = layout.colour else {
                unreachable!()
            };
            layout.colour = Colour::Gray(coefficients);
            layout.components = [layout.components[0]; 3];
            [width, 0, 0]
        }
        _ => {
            let (offsets, step) = PACKED[kind % PACKED.len()];
            layout = packed(width, height, offsets, step);
            [width * step, 0, 0]
        }
    };
    let strides = strides.map(|stride| stride + gap);
    (layout, strides, strides.map(|stride| stride * height))
}

proptest! {
    #[test]
    fn all_vector_instructions_give_the_same(
        kind in 0usize..11, width in 1usize..200, height in 1usize..60, gap in 0usize..9,
        input_width in 8usize..100, input_height in 8usize..64, seed: u64,
    ) {
        let (layout, strides, lengths) = any_layout(kind, (width, height), gap);
        let mut random = seed;
        let data = lengths.map(|length| -> Vec<u8> {
            let mut byte = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            };
            (0..length).map(|_| byte()).collect()
        });
        let planes = [0, 1, 2].map(|index: usize| Plane { data: &data[index], stride: strides[index] });
        let picture = Picture::new(layout, planes).unwrap();
        let tensors = levels().into_iter().map(|level| {
            let mut preprocessor = Preprocessor::with_level(level, layout, (input_width, input_height));
            let mut tensor = vec![0.0; 3 * input_width * input_height];
            preprocessor.pad(&mut tensor);
            preprocessor.fill(&picture, &mut tensor);
            tensor
        });
        let tensors: Vec<_> = tensors.collect();
        for (tensor, level) in tensors.iter().zip(levels()) {
            prop_assert!(*tensor == tensors[tensors.len() - 1], "{:?} differs from no vectors", level);
        }
    }

    #[test]
    fn scaling_is_opencvs_bit_for_bit(
        width in 1usize..200, height in 1usize..60, input_width in 8usize..100, input_height in 8usize..64,
    ) {
        let (size, input) = ((width, height), (input_width, input_height));
        let tensor = pattern_tensor(size, input);
        let letterbox = Letterbox::new(size, input);
        let scaled = (letterbox.width, letterbox.height);
        for (c, plane) in tensor.chunks(input_width * input_height).enumerate() {
            let samples: Vec<u8> = (0..width * height).map(|index| pattern(index % width, index / width, c)).collect();
            for y in 0..scaled.1 {
                for x in 0..scaled.0 {
                    let exact = opencv(&samples, size, scaled, x, y);
                    prop_assert_eq!(plane[y * input_width + x], exact as f32, "channel {} at ({}, {})", c, x, y);
                }
            }
        }
    }

    #[test]
    fn scaling_is_bilinear(
        width in 1usize..90, height in 1usize..90, input_width in 8usize..64, input_height in 8usize..64,
        format in 0..PACKED.len(), gap in 0usize..9,
    ) {
        let (offsets, step) = PACKED[format];
        let layout = packed(width, height, offsets, step);
        let stride = width * step + gap;
        let input = (input_width, input_height);
        let tensor = tensor(layout, one_plane(&packed_pixels(&layout, stride), stride), input);
        let letterbox = Letterbox::new((width, height), input);
        for (c, plane) in tensor.chunks(input_width * input_height).enumerate() {
            for (index, value) in plane.iter().enumerate() {
                let (x, y) = (index % input_width, index / input_width);
                if x < letterbox.width && y < letterbox.height {
                    let exact = bilinear((width, height), (letterbox.width, letterbox.height), x, y, c);
                    prop_assert!((f64::from(*value) - exact).abs() <= 1.0, "{value} is not {exact}");
                } else {
                    prop_assert_eq!(*value, 114.0);
                }
            }
        }
    }

    #[test]
    fn full_resolution_yuv_follows_the_formula(y: u8, u: u8, v: u8, full: bool) {
        assert_formula([y, u, v], BT601, full);
    }

    #[test]
    fn subsampled_colours_are_interpolated(
        width in 1usize..20, height in 1usize..12, cosited: bool, tall: bool, seed in prop::collection::vec(0u8.., 40),
    ) {
        let chroma = if cosited { Chroma::Cosited } else { Chroma::Centred };
        let layout = planar((width, height), BT601, true, chroma, (1, u32::from(!tall)));
        let (columns, rows) = (width.div_ceil(2), if tall { height } else { height.div_ceil(2) });
        let luma = vec![128; width * height];
        let v: Vec<u8> = (0..columns * rows).map(|index| 96 + seed[index % seed.len()] / 4).collect();
        let neutral = vec![128; v.len()];
        let planes = [(&luma, width), (&neutral, columns), (&v, columns)].map(|(data, stride)| Plane { data, stride });
        let tensor = tensor(layout, planes, (width, height));
        // Where a luma sample stands among the colour samples of a row or column, and the value there.
        let at = |x: f64, y: f64| {
            let clip = |place: f64, size: usize| place.clamp(0.0, (size - 1) as f64) as usize;
            let sample = |x: f64, y: f64| f64::from(v[clip(y, rows) * columns + clip(x, columns)]);
            let (left, top) = (x.floor(), y.floor());
            let row = |y: f64| sample(left, y) * (1.0 - (x - left)) + sample(left + 1.0, y) * (x - left);
            row(top) * (1.0 - (y - top)) + row(top + 1.0) * (y - top)
        };
        let centred = |place: usize| (place as f64 + 0.5) / 2.0 - 0.5;
        for (index, red) in tensor[2 * width * height..].iter().enumerate() {
            let (x, y) = (index % width, index / width);
            let v = at(
                if cosited { x as f64 / 2.0 } else { centred(x) },
                if tall { y as f64 } else { centred(y) },
            );
            let exact = 128.0 + 1.402 * (v - 128.0);
            // Colour differences are rounded to whole numbers before they become colours.
            prop_assert!((f64::from(*red) - exact).abs() <= 1.402 * 0.57 + 0.53, "{red} is not {exact} at ({x}, {y})");
        }
    }

    #[test]
    fn the_smallest_memory_is_enough(
        width in 1usize..40, height in 1usize..40, x in 0u32..2, y in 0u32..2, step in prop::sample::select(vec![1usize, 2, 4]),
        cosited: bool,
    ) {
        let chroma = if cosited { Chroma::Cosited } else { Chroma::Centred };
        let mut layout = planar((width, height), BT709, false, chroma, (x, y));
        layout.components[1].step = step;
        layout.components[2].step = step;
        let (columns, rows) = (width.div_ceil(1 << x), height.div_ceil(1 << y));
        let stride = columns * step;
        let (luma, colours) = (vec![100; width * height], vec![128; (rows - 1) * stride + (columns - 1) * step + 1]);
        let plane = Plane { data: &colours, stride };
        let planes = [Plane { data: &luma, stride: width }, plane, plane];
        let tensor = tensor(layout, planes, (24, 16));
        prop_assert!(tensor.iter().all(|value| *value == 114.0 || *value == 98.0), "{tensor:?}");
    }
}
