//! GStreamer's description of a frame to ours.

use gst_video::prelude::*;
use gst_video::{VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoFrameRef, VideoInfo};

use crate::preprocess::{Chroma, Coefficients, Colour, Component, Layout, Picture, Plane};

pub(super) fn layout(info: &VideoInfo) -> Layout {
    let format = info.format_info();
    let last = format.n_components().saturating_sub(1) as usize;
    // Grey has one component only; it stands for the others, which are not looked at.
    let components = [0, 1, 2].map(|index: usize| {
        let index = index.min(last);
        Component {
            plane: format.plane()[index] as usize,
            offset: format.poffset()[index] as usize,
            step: format.pixel_stride()[index].unsigned_abs() as usize,
            subsampling: (format.w_sub()[index], format.h_sub()[index]),
        }
    });
    let chroma = if info.chroma_site().contains(VideoChromaSite::H_COSITED) {
        Chroma::Cosited
    } else {
        Chroma::Centred
    };
    let colour = match (format.is_rgb(), format.is_gray()) {
        (true, _) => Colour::Rgb,
        (_, true) => Colour::Gray(coefficients(info)),
        _ => Colour::Yuv(coefficients(info), chroma),
    };
    Layout {
        width: info.width() as usize,
        height: info.height() as usize,
        colour,
        components,
    }
}

fn coefficients(info: &VideoInfo) -> Coefficients {
    let colorimetry = info.colorimetry();
    // Weights of red and blue in luma, from the standards.
    let (kr, kb) = match colorimetry.matrix() {
        VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        VideoColorMatrix::Fcc => (0.30, 0.11),
        VideoColorMatrix::Smpte240m => (0.212, 0.087),
        VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    Coefficients::new(kr, kb, colorimetry.range() == VideoColorRange::Range0_255)
}

/// The samples of a mapped frame.
pub(super) fn picture<'a>(
    frame: &'a VideoFrameRef<&gst::BufferRef>,
    layout: Layout,
) -> Result<Picture<'a>, String> {
    let mut planes = [Plane { data: &[], stride: 0 }; 3];
    for (index, plane) in planes.iter_mut().enumerate().take(frame.n_planes() as usize) {
        let stride = frame.plane_stride()[index];
        *plane = Plane {
            data: frame
                .plane_data(index as u32)
                .map_err(|error| error.to_string())?,
            stride: usize::try_from(stride)
                .map_err(|_| format!("plane {index} has a stride of {stride} bytes"))?,
        };
    }
    Picture::new(layout, planes).map_err(|error| error.to_string())
}
