//! Where the samples of a picture lie in memory.

use super::Coefficients;

/// Where the samples of one colour component lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    pub plane: usize,
    /// Bytes before the first sample of a row.
    pub offset: usize,
    /// Bytes from one sample to the next.
    pub step: usize,
    /// Log2 of the subsampling in x and y: (1, 1) is a quarter of the samples.
    pub subsampling: (u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Components are red, green and blue.
    Rgb,
    /// Components are luma and the two colour differences.
    Yuv(Coefficients, Chroma),
    /// The first component is luma; the others are not looked at.
    Gray(Coefficients),
}

/// Where a subsampled colour sample stands among the luma samples of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// Between two of them, as in JPEG.
    Centred,
    /// On the left one, as in most video.
    Cosited,
}

/// A pixel format and a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub width: usize,
    pub height: usize,
    pub colour: Colour,
    pub components: [Component; 3],
}

impl Layout {
    /// Samples in a row, and rows, of a component.
    fn samples(&self, component: &Component) -> (usize, usize) {
        let scaled = |size: usize, shift: u32| size.div_ceil(1 << shift);
        let (x, y) = component.subsampling;
        (scaled(self.width, x), scaled(self.height, y))
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("plane {plane} has {has} bytes; the picture needs {needs}")]
pub struct PictureError {
    plane: usize,
    has: usize,
    needs: usize,
}

/// A picture in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    pub(super) layout: Layout,
    planes: [Plane<'a>; 3],
}

impl<'a> Picture<'a> {
    /// Checks that every sample lies inside the planes.
    pub fn new(layout: Layout, planes: [Plane<'a>; 3]) -> Result<Self, PictureError> {
        for component in &layout.components {
            let Plane { data, stride } = planes[component.plane];
            let (width, height) = layout.samples(component);
            let needs = component.offset + (height - 1) * stride + (width - 1) * component.step + 1;
            if needs > data.len() {
                let (plane, has) = (component.plane, data.len());
                return Err(PictureError { plane, has, needs });
            }
        }
        Ok(Self { layout, planes })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A row of a component, counted in the component's own rows, and the bytes from sample to sample.
    /// Rows below the last repeat it.
    pub(super) fn row(&self, component: usize, y: usize) -> (&'a [u8], usize) {
        let component = &self.layout.components[component];
        let Plane { data, stride } = self.planes[component.plane];
        let (width, height) = self.layout.samples(component);
        let start = component.offset + y.min(height - 1) * stride;
        (&data[start..][..(width - 1) * component.step + 1], component.step)
    }
}
