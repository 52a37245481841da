//! Sixteen rows of the JPEG's samples, scaled from the picture's.

use fearless_simd::{Level, Simd};
use sightline_scaling::{Columns, LANES, Tap, WINDOW, blend_in_quarters, taps};

use super::picture::{Layout, Picture, subsampled};
use super::{BLOCK, PAIRS, UNIT};

/// Rows of samples of two blocks side by side, in quarters.
pub(super) type Pair = [[i16; UNIT]; BLOCK];

/// What is coded together: luma's upper blocks and its lower ones, and one block of each colour difference.
pub(super) type Unit = [Pair; PAIRS];

pub(super) struct Strip {
    layout: Layout,
    components: [Component; 3],
    /// One row of the JPEG's samples: as it lies in the blocks it would be blended sample by sample.
    row: Vec<i16>,
    units: Vec<Unit>,
}

struct Component {
    columns: Columns,
    rows: Vec<Tap>,
    /// The last two source rows, scaled in width: the even one and the odd one.
    lines: [Line; 2],
    /// For a source row whose samples cannot be read where they lie.
    room: Vec<u8>,
    /// Samples in a row of the JPEG, and the same filled up to whole units and lanes.
    width: usize,
    padded: usize,
}

/// A source row, scaled in width.
struct Line {
    row: Option<usize>,
    samples: Vec<i16>,
}

impl Component {
    fn new(level: Level, source: (usize, usize), target: (usize, usize), padded: usize) -> Self {
        let columns = Columns::new(level, source.0, target.0);
        let len = columns.scaled_len().max(padded);
        Self {
            lines: [(); 2].map(|()| Line {
                row: None,
                samples: vec![0; len],
            }),
            columns,
            rows: taps(source.1, target.1),
            room: vec![0; source.0 + WINDOW],
            width: target.0,
            padded,
        }
    }

    /// Both source rows that the `y`th row lies between, scaled in width, and their weights. Beyond its last row and the
    /// last sample of each the picture repeats them.
    #[inline(always)]
    fn row<S: Simd>(
        &mut self,
        simd: S,
        picture: &Picture,
        component: usize,
        y: usize,
    ) -> (&[i16], &[i16], &Tap) {
        let tap = &self.rows[y.min(self.rows.len() - 1)];
        for source in tap.first..=tap.second {
            let line = &mut self.lines[source % 2];
            if line.row != Some(source) {
                line.row = Some(source);
                let row = picture.row(component, source, &mut self.room);
                self.columns.scale(simd, row, &mut line.samples);
                let last = line.samples[self.width - 1];
                line.samples[self.width..].fill(last);
            }
        }
        let line = |source: usize| &self.lines[source % 2].samples[..self.padded];
        (line(tap.first), line(tap.second), tap)
    }
}

impl Strip {
    pub(super) fn new(level: Level, layout: &Layout, size: (usize, usize)) -> Self {
        let units = size.0.div_ceil(UNIT);
        let component = |index: usize| {
            let (source, target) = (layout.samples(index), subsampled(size, index));
            let width = if index == 0 { UNIT } else { BLOCK };
            Component::new(level, source, target, (units * width).next_multiple_of(LANES))
        };
        Self {
            layout: *layout,
            components: [0, 1, 2].map(component),
            row: vec![0; units * UNIT],
            units: vec![[[[0; UNIT]; BLOCK]; PAIRS]; units],
        }
    }

    /// Before another picture.
    pub(super) fn start(&mut self) {
        for line in self
            .components
            .iter_mut()
            .flat_map(|component| &mut component.lines)
        {
            line.row = None;
        }
    }

    pub(super) fn units(&self) -> &[Unit] {
        &self.units
    }

    pub(super) fn units_mut(&mut self) -> &mut [Unit] {
        &mut self.units
    }

    /// Scales the `number`th sixteen rows.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&mut self, simd: S, picture: &Picture, number: usize) {
        assert_eq!(
            *picture.layout(),
            self.layout,
            "the encoder is for another layout"
        );
        let [luma, differences @ ..] = &mut self.components;
        for y in 0..UNIT {
            let (above, below, tap) = luma.row(simd, picture, 0, number * UNIT + y);
            blend_in_quarters(above, below, tap, &mut self.row);
            for (unit, samples) in self.units.iter_mut().zip(self.row.as_chunks().0) {
                unit[y / BLOCK][y % BLOCK] = *samples;
            }
        }
        for (index, difference) in differences.iter_mut().enumerate() {
            for y in 0..BLOCK {
                let (above, below, tap) = difference.row(simd, picture, 1 + index, number * BLOCK + y);
                let row = &mut self.row[..above.len()];
                blend_in_quarters(above, below, tap, row);
                for (unit, samples) in self.units.iter_mut().zip(row.as_chunks::<BLOCK>().0) {
                    unit[PAIRS - 1][y].as_chunks_mut().0[index] = *samples;
                }
            }
        }
    }
}
