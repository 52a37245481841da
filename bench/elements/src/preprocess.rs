//! From a frame's pixels to the model's input.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gstyolox::preprocess::{Chroma, Coefficients, Colour, Component, Layout, Picture, Plane, Preprocessor};
use serde_json::{Value, json};

use crate::timing::median_ms;

/// Side of the model's input in pixels.
const INPUT: usize = 416;
const TIME: Duration = Duration::from_millis(300);

/// Arguments: format, width, height, and a file with one frame whose rows are not padded. With a fifth the tensor is
/// written to that file.
pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [format, width, height, frame, tensor_file @ ..] = arguments else {
        bail!("preprocess needs a format, a width, a height and a file");
    };
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let pixels = std::fs::read(frame).with_context(|| format!("cannot read {frame}"))?;
    let (layout, strides) = layout(format, width, height)?;
    let picture = Picture::new(layout, planes(&pixels, strides, height)?)?;

    let mut tensor = vec![0.0; 3 * INPUT * INPUT];
    let mut preprocessor = Preprocessor::new(layout, (INPUT, INPUT));
    preprocessor.pad(&mut tensor);
    let milliseconds = median_ms(TIME, || {
        preprocessor.fill(black_box(&picture), black_box(&mut tensor));
    });
    if let [path, ..] = tensor_file {
        let bytes: Vec<u8> = tensor.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(json!({ "ms": milliseconds }))
}

/// The layout of a format, and the bytes in a row of each plane.
fn layout(format: &str, width: usize, height: usize) -> anyhow::Result<(Layout, [usize; 3])> {
    let component = |plane, offset, step, subsampling| Component {
        plane,
        offset,
        step,
        subsampling,
    };
    let half = width.div_ceil(2);
    let bt601 = Coefficients::new(0.299, 0.114, false);
    let (colour, components, strides) = match format {
        "I420" => (
            Colour::Yuv(bt601, Chroma::Centred),
            [
                component(0, 0, 1, (0, 0)),
                component(1, 0, 1, (1, 1)),
                component(2, 0, 1, (1, 1)),
            ],
            [width, half, half],
        ),
        "NV12" => (
            Colour::Yuv(bt601, Chroma::Centred),
            [
                component(0, 0, 1, (0, 0)),
                component(1, 0, 2, (1, 1)),
                component(1, 1, 2, (1, 1)),
            ],
            [width, 2 * half, 0],
        ),
        "BGR" => (
            Colour::Rgb,
            [2, 1, 0].map(|offset| component(0, offset, 3, (0, 0))),
            [3 * width, 0, 0],
        ),
        "BGRx" => (
            Colour::Rgb,
            [2, 1, 0].map(|offset| component(0, offset, 4, (0, 0))),
            [4 * width, 0, 0],
        ),
        "GRAY8" => (
            Colour::Gray(bt601),
            [component(0, 0, 1, (0, 0)); 3],
            [width, 0, 0],
        ),
        _ => bail!("format {format} is not measured; I420, NV12, BGR, BGRx and GRAY8 are"),
    };
    Ok((
        Layout {
            width,
            height,
            colour,
            components,
        },
        strides,
    ))
}

/// The planes of a frame, one behind the other; those below the first have half as many rows.
pub fn planes(pixels: &[u8], strides: [usize; 3], height: usize) -> anyhow::Result<[Plane<'_>; 3]> {
    let mut planes = [Plane { data: &[], stride: 0 }; 3];
    let mut rest = pixels;
    for (index, (plane, stride)) in planes.iter_mut().zip(strides).enumerate() {
        let rows = if index == 0 { height } else { height.div_ceil(2) };
        let (data, after) = rest
            .split_at_checked(rows * stride)
            .context("the file is too short for a frame")?;
        (*plane, rest) = (Plane { data, stride }, after);
    }
    Ok(planes)
}
