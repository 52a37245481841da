//! Painting in the memory of a frame of any format whose samples are bytes.

use std::ops::Range;

use crate::palette::Colour;
use crate::rect::Rect;
use crate::text::Mask;

/// Where the samples of a component lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    pub plane: usize,
    /// Of the first sample in a row, in bytes.
    pub offset: usize,
    /// From one sample to the next, in bytes.
    pub step: usize,
    /// A sample stands for 2^x by 2^y pixels.
    pub subsampling: (u32, u32),
}

/// How a frame is laid out, and what samples stand for a colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Red, green and blue, or luma and the differences of blue and red, or luma alone; then opacity, if there is one.
    pub components: Vec<Component>,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Encoding {
    Rgb,
    /// The weights of red and blue in luma, and whether luma and chroma use all of 0 to 255.
    Yuv {
        red: f64,
        blue: f64,
        full_range: bool,
    },
}

impl Encoding {
    fn samples(self, Colour(r, g, b): Colour) -> [u8; 4] {
        let Self::Yuv {
            red,
            blue,
            full_range,
        } = self
        else {
            return [r, g, b, 255];
        };
        let [r, g, b] = [r, g, b].map(|value| f64::from(value) / 255.0);
        let luma = red * r + (1.0 - red - blue) * g + blue * b;
        let (difference_b, difference_r) = ((b - luma) / (2.0 - 2.0 * blue), (r - luma) / (2.0 - 2.0 * red));
        let (black, luma_range, chroma_range) = if full_range {
            (0.0, 255.0, 255.0)
        } else {
            (16.0, 219.0, 224.0)
        };
        let chroma = |difference: f64| (128.0 + chroma_range * difference).round() as u8;
        let luma = (black + luma_range * luma).round() as u8;
        [luma, chroma(difference_b), chroma(difference_r), 255]
    }
}

/// Rows of `stride` bytes.
#[derive(Debug, Default)]
pub struct Plane<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
}

/// Pixels that are painted on. What lies outside is left out.
#[derive(Debug)]
pub struct Picture<'a> {
    pub layout: &'a Layout,
    pub planes: [Plane<'a>; 4],
    /// Which part of the frame the pixels are.
    pub area: Rect,
}

impl Picture<'_> {
    /// Paints a rectangle in one colour.
    pub fn fill(&mut self, place: Rect, colour: Colour) {
        let place = self.inside(place);
        let samples = self.layout.encoding.samples(colour);
        for (component, sample) in self.layout.components.iter().zip(samples) {
            if component.subsampling == (0, 0) {
                self.fill_samples(component, place, sample);
            } else {
                self.mix_samples(component, place, [sample; 2], |_, _| {});
            }
        }
    }

    /// Paints a line of text and the plate below it, which has the text's size.
    pub fn write(&mut self, corner: (usize, usize), text: &Mask, plate: Colour, ink: Colour) {
        let whole = Rect::new(corner, (text.width, text.height));
        let skip = (
            self.area.left.saturating_sub(whole.left),
            self.area.top.saturating_sub(whole.top),
        );
        let place = self.inside(whole);
        let text = |y: usize| &text.row(y - place.top + skip.1)[skip.0..][..place.width()];
        let encoding = self.layout.encoding;
        let samples = encoding.samples(plate).into_iter().zip(encoding.samples(ink));
        for (component, (plate, ink)) in self.layout.components.iter().zip(samples) {
            let (shift_x, shift_y) = component.subsampling;
            if (shift_x, shift_y) == (0, 0) {
                self.write_samples(component, place, [plate, ink], text);
                continue;
            }
            let ahead = place.left % (1 << shift_x);
            self.mix_samples(component, place, [plate, ink], |rows, sums| {
                for y in rows {
                    for (x, share) in text(y).iter().enumerate() {
                        sums[(x + ahead) >> shift_x] += u32::from(*share);
                    }
                }
            });
        }
    }

    /// The part of a place in the frame that the picture has, in its own coordinates.
    fn inside(&self, place: Rect) -> Rect {
        let common = place.common(&self.area);
        if common.is_empty() {
            return Rect::new((0, 0), (0, 0));
        }
        Rect::new(
            (common.left - self.area.left, common.top - self.area.top),
            (common.width(), common.height()),
        )
    }

    /// The bytes from a row's first sample on to its last; none if the memory does not have them.
    fn row(&mut self, component: &Component, y: usize, columns: Range<usize>) -> &mut [u8] {
        let plane = &mut self.planes[component.plane];
        let start = y * plane.stride + component.offset;
        let last = (columns.end.max(1) - 1) * component.step;
        let bytes = start + columns.start * component.step..start + last + 1;
        plane.data.get_mut(bytes).unwrap_or_default()
    }

    fn fill_samples(&mut self, component: &Component, place: Rect, sample: u8) {
        for y in place.top..place.bottom {
            let row = self.row(component, y, place.left..place.right);
            if component.step == 1 {
                row.fill(sample);
            } else {
                row.iter_mut()
                    .step_by(component.step)
                    .for_each(|old| *old = sample);
            }
        }
    }

    fn write_samples<'t>(
        &mut self,
        component: &Component,
        place: Rect,
        [plate, ink]: [u8; 2],
        text: impl Fn(usize) -> &'t [u8],
    ) {
        let [plate, ink] = [plate, ink].map(usize::from);
        let mixed: [u8; 256] =
            std::array::from_fn(|share| ((plate * (255 - share) + ink * share + 127) / 255) as u8);
        for y in place.top..place.bottom {
            let row = self.row(component, y, place.left..place.right);
            for (sample, share) in row.iter_mut().step_by(component.step).zip(text(y)) {
                *sample = mixed[usize::from(*share)];
            }
        }
    }

    /// Makes each sample the mean of its pixels; those outside of the place stay as they were. `add_ink` adds the shares
    /// of ink in some rows to the sums of the place's columns of samples.
    fn mix_samples(
        &mut self,
        component: &Component,
        place: Rect,
        [plate, ink]: [u8; 2],
        mut add_ink: impl FnMut(Range<usize>, &mut [u32]),
    ) {
        let (shift_x, shift_y) = component.subsampling;
        let (width, height) = (self.area.width(), self.area.height());
        let columns = place.left >> shift_x..cells(place.right, shift_x);
        let mut sums = vec![0; columns.len()];
        let widths = [columns.start, columns.start + 1, columns.end.saturating_sub(1)].map(|cell_x| {
            let (columns, count) = pixels(cell_x, shift_x, place.left..place.right, width);
            (columns.len(), count)
        });
        // Of the first, the inner and the last columns; the same for most rows.
        let mut means = [Mean::default(); 3];
        let mut heights = (0, 0);
        for cell_y in place.top >> shift_y..cells(place.bottom, shift_y) {
            let (rows, count) = pixels(cell_y, shift_y, place.top..place.bottom, height);
            if heights != (rows.len(), count) {
                heights = (rows.len(), count);
                let mean = |(columns, column_count)| {
                    Mean::new([plate, ink], rows.len() * columns, count * column_count)
                };
                means = widths.map(mean);
            }
            let [first, inner, last] = &means;
            sums.fill(0);
            add_ink(rows, &mut sums);
            let samples = self.row(component, cell_y, columns.clone()).iter_mut();
            let mut samples = samples.step_by(component.step).zip(&sums);
            let edges = [(samples.next(), first), (samples.next_back(), last)];
            for (edge, mean) in edges {
                if let Some((sample, sum)) = edge {
                    *sample = mean.of(*sample, *sum);
                }
            }
            samples.for_each(|(sample, sum)| *sample = inner.of(*sample, *sum));
        }
    }
}

/// The mean of a sample's pixels, some of which are painted.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    old: f32,
    painted: f32,
    ink: f32,
}

impl Mean {
    fn new([plate, ink]: [u8; 2], painted: usize, count: usize) -> Self {
        let [plate, ink, painted, count] =
            [usize::from(plate), usize::from(ink), painted, count.max(1)].map(|value| value as f32);
        Self {
            old: (count - painted) / count,
            // Half a step more, as what follows is cut off.
            painted: plate * painted / count + 0.5,
            ink: (ink - plate) / (255.0 * count),
        }
    }

    fn of(&self, old: u8, ink: u32) -> u8 {
        (f32::from(old) * self.old + self.painted + ink as f32 * self.ink) as u8
    }
}

/// How many samples it takes to reach a pixel.
fn cells(pixel: usize, shift: u32) -> usize {
    (pixel + (1 << shift) - 1) >> shift
}

/// Which pixels of a place a sample stands for, and for how many of the picture in all: fewer at its edge.
fn pixels(cell: usize, shift: u32, place: Range<usize>, size: usize) -> (Range<usize>, usize) {
    let (start, end) = ((cell << shift).min(size), ((cell + 1) << shift).min(size));
    (start.max(place.start)..end.min(place.end), end - start)
}

#[cfg(test)]
mod tests;
