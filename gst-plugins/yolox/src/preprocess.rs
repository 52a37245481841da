//! From a frame's pixels to the model's input, bit for bit as YOLOX's own demo prepares it.
//!
//! The demo (`yolox/data/data_augment.py`, `preproc`) scales the picture with OpenCV's `INTER_LINEAR` until it
//! just fits the input, puts it into the top left corner, pads with 114 and gives the model planar BGR, 0 to 255.
//! OpenCV works on bytes, with weights of 11 bits, half-pixel centres and no antialiasing; so does this.

mod picture;
mod resize;
mod yuv;

pub use picture::{Chroma, Colour, Component, Layout, Picture, Plane};
pub use yuv::Coefficients;

use resize::{Line, Tap};
use yuv::YuvRows;

/// What surrounds the picture in the model's input.
const PADDING: f32 = 114.0;

/// How a picture lies in the model's input: scaled by `ratio`, in the top left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    pub ratio: f64,
    /// Size in pixels of the scaled picture.
    pub width: usize,
    pub height: usize,
}

impl Letterbox {
    pub fn new(picture: (usize, usize), input: (usize, usize)) -> Self {
        let ratio = f64::min(
            input.1 as f64 / picture.1 as f64,
            input.0 as f64 / picture.0 as f64,
        );
        // Truncated as in the demo; a very long picture keeps at least one row.
        let scaled = |size: usize, limit: usize| ((size as f64 * ratio) as usize).clamp(1, limit);
        Self {
            ratio,
            width: scaled(picture.0, input.0),
            height: scaled(picture.1, input.1),
        }
    }
}

/// Prepares pictures of one layout for inputs of one size.
pub struct Preprocessor {
    layout: Layout,
    input: (usize, usize),
    letterbox: Letterbox,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// The two source rows that the current output row lies between, already scaled in width.
    lines: [Line; 2],
    yuv: YuvRows,
}

impl Preprocessor {
    /// `input` is the model's width and height in pixels.
    pub fn new(layout: Layout, input: (usize, usize)) -> Self {
        let letterbox = Letterbox::new((layout.width, layout.height), input);
        Self {
            input,
            letterbox,
            columns: resize::taps(layout.width, letterbox.width),
            rows: resize::taps(layout.height, letterbox.height),
            lines: [(); 2].map(|()| Line::new(letterbox.width)),
            yuv: YuvRows::new(layout.width),
            layout,
        }
    }

    pub fn letterbox(&self) -> Letterbox {
        self.letterbox
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Fills a tensor's padding. [`Self::fill`] leaves it alone, so once for each tensor is enough.
    pub fn pad(&self, tensor: &mut [f32]) {
        tensor.fill(PADDING);
    }

    /// Writes the picture into a tensor of 3 × height × width floats.
    pub fn fill(&mut self, picture: &Picture, tensor: &mut [f32]) {
        let (width, height) = self.input;
        debug_assert_eq!(tensor.len(), 3 * width * height);
        for line in &mut self.lines {
            line.forget();
        }
        for (y, tap) in self.rows.iter().enumerate() {
            let [first, second] = &mut self.lines;
            if !first.holds(tap.first) {
                std::mem::swap(first, second);
            }
            if !first.holds(tap.first) {
                first.load(picture, tap.first, &self.columns, &mut self.yuv);
            }
            if tap.second != tap.first && !second.holds(tap.second) {
                second.load(picture, tap.second, &self.columns, &mut self.yuv);
            }
            let second = if tap.second == tap.first {
                &*first
            } else {
                &*second
            };
            for (channel, plane) in tensor.chunks_exact_mut(width * height).enumerate() {
                let row = &mut plane[y * width..][..self.letterbox.width];
                resize::blend(first.channel(channel), second.channel(channel), tap, row);
            }
        }
    }
}

#[cfg(test)]
mod tests;
