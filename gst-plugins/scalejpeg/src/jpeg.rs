//! From a frame's pixels to a smaller JPEG, in one pass.
//!
//! A JPEG (ITU-T T.81, baseline, 4:2:0) is coded sixteen rows at a time. So many rows are scaled, plane by plane
//! ([`strip`]), transformed and quantised two blocks at a time ([`dct`]) and coded ([`huffman`]); what lies between fits the first
//! cache. A JPEG's samples are of full range and BT.601's matrix, a camera's mostly are not: the range is stretched by the
//! numbers that coefficients are quantised by, and so costs nothing ([`colour`]).
//!
//! All of it is compiled for each level of vector instructions, and the best that the CPU has is taken.

mod colour;
mod dct;
mod header;
mod huffman;
mod picture;
mod strip;

use fearless_simd::{Level, Simd, dispatch};

pub use colour::Colour;
pub use picture::{Layout, Picture, PictureError, Plane};

use colour::Mix;
use dct::{Block, Quantiser};
use huffman::{Coded, Codes};
use strip::Strip;

/// Samples in width and height of what is coded together: four blocks of luma, and one of each colour difference.
const UNIT: usize = 16;
/// Samples in width and height of a block.
const BLOCK: usize = 8;
/// Pairs of blocks of a unit: luma's upper ones and its lower ones, and those of both colour differences.
const PAIRS: usize = 3;
/// The component of each block of a unit, and its tables: luma's, and those of both colour differences.
const BLOCKS: [(usize, usize); 2 * PAIRS] = [(0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (2, 1)];

/// Encodes pictures of one layout as JPEGs of one size.
pub struct Encoder {
    level: Level,
    size: (usize, usize),
    /// How long the header is, with which every JPEG begins.
    header: usize,
    /// Of luma and of colour differences.
    quantisers: [Quantiser; 2],
    codes: [Codes; 2],
    mix: Option<Mix>,
    strip: Strip,
    /// The strip, transformed.
    blocks: Vec<Block>,
    coded: Coded,
    /// The last JPEG.
    jpeg: Vec<u8>,
}

impl Encoder {
    /// `size` is the JPEGs' width and height in pixels, 1 to 65535 each; `quality`, 1 to 100, is libjpeg's.
    pub fn new(layout: &Layout, colour: Colour, size: (u16, u16), quality: u8) -> Self {
        Self::with_level(Level::new(), layout, colour, size, quality)
    }

    /// With the vector instructions of `level`.
    fn with_level(level: Level, layout: &Layout, colour: Colour, size: (u16, u16), quality: u8) -> Self {
        let tables = header::quantisation(quality);
        let levels = colour.levels();
        let header = header::header(size, &tables);
        Self {
            level,
            header: header.len(),
            size: (size.0.into(), size.1.into()),
            quantisers: [0, 1].map(|index| Quantiser::new(&tables[index], levels[index])),
            codes: [0, 1].map(|index| Codes::new(&header::CODES[index])),
            mix: Mix::new(colour),
            strip: Strip::new(level, layout, (size.0.into(), size.1.into())),
            blocks: vec![Block::EMPTY; usize::from(size.0).div_ceil(UNIT) * BLOCKS.len()],
            coded: Coded::default(),
            jpeg: header,
        }
    }

    /// Width and height of the JPEGs in pixels.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The picture as JPEG. Panics if it has another layout.
    pub fn encode(&mut self, picture: &Picture) -> &[u8] {
        self.strip.start();
        self.coded.start();
        let mut last = [0; 3];
        for row in 0..self.size.1.div_ceil(UNIT) {
            // Apart, so that each keeps its numbers in registers.
            dispatch!(self.level, simd => self.transform(simd, picture, row));
            dispatch!(self.level, _ => self.coded.blocks(&self.blocks, BLOCKS, &mut last, &self.codes));
        }
        self.jpeg.truncate(self.header);
        self.coded.finish(&mut self.jpeg);
        &self.jpeg
    }

    /// Scales and transforms the `row`th strip. Inlined, as all that it calls, so that it is compiled for the vector instructions
    /// of `simd`.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, picture: &Picture, row: usize) {
        self.strip.load(simd, picture, row);
        if let Some(mix) = &self.mix {
            mix.apply(self.strip.units_mut());
        }
        let pairs = self.strip.units().as_flattened();
        for (index, (samples, blocks)) in pairs.iter().zip(self.blocks.as_chunks_mut().0).enumerate() {
            let differences = index % PAIRS == PAIRS - 1;
            self.quantisers[usize::from(differences)].transform(simd, samples, blocks);
        }
    }
}

#[cfg(test)]
mod tests;
