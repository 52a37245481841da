//! From a frame's pixels to a smaller JPEG.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gstscalejpeg::jpeg::{Colour, Encoder, Layout, Picture, Plane};
use serde_json::{Value, json};

use crate::preprocess::planes;
use crate::timing::median_ms;

/// What sessions send.
const LONGEST_SIDE: usize = 416;
const QUALITY: u8 = 85;
const TIME: Duration = Duration::from_millis(300);

/// Arguments: width, height, and a file with one frame as I420 of limited range, whose rows are not padded. With a fourth the JPEG is
/// written to that file.
pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [width, height, frame, jpeg_file @ ..] = arguments else {
        bail!("jpeg needs a width, a height and a file");
    };
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let pixels = std::fs::read(frame).with_context(|| format!("cannot read {frame}"))?;
    let layout = Layout {
        width,
        height,
        components: [0, 1, 2].map(|plane| (plane, 0, 1)),
    };
    let half = width.div_ceil(2);
    let planes = planes(&pixels, [width, half, half], height)?;
    let planes = planes.map(|plane| Plane {
        data: plane.data,
        stride: plane.stride,
    });
    let picture = Picture::new(layout, &planes)?;
    let colour = Colour {
        full_range: false,
        ..Colour::JFIF
    };
    let scaled = |side: usize| u16::try_from((side * LONGEST_SIDE).div_ceil(width.max(height)));
    let mut encoder = Encoder::new(&layout, colour, (scaled(width)?, scaled(height)?), QUALITY);
    let milliseconds = median_ms(TIME, || {
        black_box(encoder.encode(black_box(&picture)));
    });
    let jpeg = encoder.encode(&picture);
    if let [path, ..] = jpeg_file {
        std::fs::write(path, jpeg).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(json!({ "ms": milliseconds, "bytes": jpeg.len() }))
}
