//! From a frame's pixels to the model's input, bit for bit as YOLOX's own demo prepares it.
//!
//! The demo (`yolox/data/data_augment.py`, `preproc`) scales the picture with OpenCV's `INTER_LINEAR` until it
//! just fits the input, puts it into the top left corner, pads with 114 and gives the model planar BGR, 0 to 255.
//! OpenCV works on bytes, with weights of 11 bits, half-pixel centres and no antialiasing; so does this.
//!
//! The picture is gone through once, row by row: a source row becomes planes of bytes ([`row`]), is scaled in width
//! and, with the next one, in height ([`sightline_scaling`]), unless it has its size already. What lies between fits the first cache. All of it is compiled for
//! each level of vector instructions, and the best that the CPU has is taken when the element starts.

mod picture;
mod row;
mod yuv;

use fearless_simd::{Level, Simd, dispatch};
use sightline_scaling::{self as scaling, Columns, Sample, Tap};

pub use picture::{Chroma, Colour, Component, Layout, Picture, PictureError, Plane};
pub use yuv::Coefficients;

use row::{Line, Row};

/// What surrounds the picture in the model's input.
const PADDING: i16 = 114;

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
    level: Level,
    layout: Layout,
    input: (usize, usize),
    letterbox: Letterbox,
    columns: Columns,
    rows: Vec<Tap>,
    row: Row,
    /// The last two source rows, scaled in width: the even one and the odd one.
    lines: [Line; 2],
}

impl Preprocessor {
    /// `input` is the model's width and height in pixels.
    pub fn new(layout: Layout, input: (usize, usize)) -> Self {
        Self::with_level(Level::new(), layout, input)
    }

    /// With the vector instructions of `level`.
    fn with_level(level: Level, layout: Layout, input: (usize, usize)) -> Self {
        let letterbox = Letterbox::new((layout.width, layout.height), input);
        let columns = Columns::new(level, layout.width, letterbox.width);
        Self {
            level,
            input,
            letterbox,
            lines: [(); 2].map(|()| Line::new(&columns)),
            columns,
            rows: scaling::taps(layout.height, letterbox.height),
            row: Row::new(layout.width),
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
    pub fn pad<T: Sample>(&self, tensor: &mut [T]) {
        tensor.fill(T::of(PADDING));
    }

    /// Writes the picture into a tensor of 3 × height × width bytes, or floats that are as whole.
    pub fn fill<T: Sample>(&mut self, picture: &Picture, tensor: &mut [T]) {
        dispatch!(self.level, simd => self.fill_with(simd, picture, tensor));
    }

    /// Inlined, as all that it calls, so that it is compiled for the vector instructions of `simd`.
    #[inline(always)]
    fn fill_with<S: Simd, T: Sample>(&mut self, simd: S, picture: &Picture, tensor: &mut [T]) {
        let (width, height) = self.input;
        debug_assert_eq!(tensor.len(), 3 * width * height);
        debug_assert_eq!(picture.layout, self.layout);
        // A session's pictures are as large as the model's input.
        if (self.layout.width, self.layout.height) == (self.letterbox.width, self.letterbox.height) {
            for y in 0..self.layout.height {
                self.row.load(picture, y);
                for (plane, bytes) in tensor.chunks_exact_mut(width * height).zip(self.row.channels()) {
                    for (out, byte) in plane[y * width..][..self.layout.width].iter_mut().zip(bytes) {
                        *out = T::of(i16::from(*byte));
                    }
                }
            }
            return;
        }
        for line in &mut self.lines {
            line.forget();
        }
        for (y, tap) in self.rows.iter().enumerate() {
            for source in tap.first..=tap.second {
                let line = &mut self.lines[source % 2];
                if !line.holds(source) {
                    self.row.load(picture, source);
                    line.load(simd, source, &self.row, &self.columns);
                }
            }
            let [first, second] = [tap.first, tap.second].map(|source| &self.lines[source % 2]);
            for (channel, plane) in tensor.chunks_exact_mut(width * height).enumerate() {
                let out = &mut plane[y * width..][..self.letterbox.width];
                scaling::blend(first.channel(channel), second.channel(channel), tap, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
