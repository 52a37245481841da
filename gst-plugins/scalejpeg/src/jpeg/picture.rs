//! Where a picture's samples lie in memory.

use sightline_scaling::WINDOW;

/// Where the samples of luma and of both colour differences lie; a colour difference has a quarter of luma's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub width: usize,
    pub height: usize,
    /// The plane of each component, the bytes before its first sample, and from one sample to the next.
    pub components: [(usize, usize, usize); 3],
}

impl Layout {
    /// Samples in a row, and rows, of a component.
    pub(super) fn samples(&self, component: usize) -> (usize, usize) {
        subsampled((self.width, self.height), component)
    }
}

/// The size of a component in samples, of a picture of `size` pixels.
pub(super) fn subsampled((width, height): (usize, usize), component: usize) -> (usize, usize) {
    match component {
        0 => (width, height),
        _ => (width.div_ceil(2), height.div_ceil(2)),
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("there is no plane {0}")]
    NoPlane(usize),
    #[error("plane {plane} has {has} bytes; the picture needs {needs}")]
    TooShort { plane: usize, has: usize, needs: usize },
}

/// A picture in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    layout: Layout,
    /// Of each component, from its first sample on.
    components: [Plane<'a>; 3],
}

impl<'a> Picture<'a> {
    /// Checks that every sample lies inside the planes.
    pub fn new(layout: Layout, planes: &[Plane<'a>]) -> Result<Self, PictureError> {
        let mut components = [Plane { data: &[], stride: 0 }; 3];
        for (index, component) in components.iter_mut().enumerate() {
            let (plane, offset, step) = layout.components[index];
            let (width, height) = layout.samples(index);
            let Plane { data, stride } = *planes.get(plane).ok_or(PictureError::NoPlane(plane))?;
            let needs = offset + height.saturating_sub(1) * stride + width.saturating_sub(1) * step + 1;
            if needs > data.len() {
                let has = data.len();
                return Err(PictureError::TooShort { plane, has, needs });
            }
            *component = Plane {
                data: &data[offset..],
                stride,
            };
        }
        Ok(Self { layout, components })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A row of a component's samples, and at least [`WINDOW`] bytes more: where it lies, or copied to `room`.
    #[inline(always)]
    pub(super) fn row<'b>(&self, component: usize, y: usize, room: &'b mut [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        let Plane { data, stride } = self.components[component];
        let (_, _, step) = self.layout.components[component];
        let (width, _) = self.layout.samples(component);
        let row = &data[y * stride..];
        if step == 1 && row.len() >= width + WINDOW {
            return row;
        }
        match step {
            1 => room[..width].copy_from_slice(&row[..width]),
            2 => gather::<2>(row, &mut room[..width]),
            _ => gather_any(row, step, &mut room[..width]),
        }
        room
    }
}

#[inline(always)]
fn gather<const STEP: usize>(row: &[u8], out: &mut [u8]) {
    // Nothing need follow the last sample.
    let Some((last, out)) = out.split_last_mut() else {
        return;
    };
    *last = row[out.len() * STEP];
    for (out, pixel) in out.iter_mut().zip(row.as_chunks::<STEP>().0) {
        *out = pixel[0];
    }
}

fn gather_any(row: &[u8], step: usize, out: &mut [u8]) {
    for (out, sample) in out.iter_mut().zip(row.iter().step_by(step)) {
        *out = *sample;
    }
}
