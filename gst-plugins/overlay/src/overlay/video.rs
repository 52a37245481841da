//! Between GStreamer's frames and compositions and our pictures.

use gst_video::prelude::*;
use gst_video::{
    VideoColorRange, VideoFormat, VideoFrameFlags, VideoFrameRef, VideoInfo, VideoMeta,
    VideoOverlayComposition, VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
};

use crate::drawing::Shape;
use crate::picture::{Component, Encoding, Layout, Picture, Plane};
use crate::rect::Rect;

/// That of the rectangles of a composition.
const RECTANGLE: VideoFormat = if cfg!(target_endian = "little") {
    VideoFormat::Bgra
} else {
    VideoFormat::Argb
};

pub(super) fn layout(info: &VideoInfo) -> Layout {
    let format = info.format_info();
    let component = |index: usize| Component {
        plane: format.plane()[index] as usize,
        offset: format.poffset()[index] as usize,
        step: format.pixel_stride()[index].unsigned_abs() as usize,
        subsampling: (format.w_sub()[index], format.h_sub()[index]),
    };
    let encoding = if format.is_rgb() {
        Encoding::Rgb
    } else {
        let colorimetry = info.colorimetry();
        // Unknown colours are taken for BT.601, as elsewhere in GStreamer.
        let (red, blue) = colorimetry.matrix().kr_kb().unwrap_or((0.299, 0.114));
        Encoding::Yuv {
            red,
            blue,
            full_range: colorimetry.range() == VideoColorRange::Range0_255,
        }
    };
    Layout {
        components: (0..format.n_components() as usize).map(component).collect(),
        encoding,
    }
}

/// Paints the shapes into the frame's pixels.
pub(super) fn blend(
    buffer: &mut gst::BufferRef,
    info: &VideoInfo,
    layout: &Layout,
    shapes: &[Shape],
) -> Result<(), glib::BoolError> {
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info)?;
    let strides: Vec<_> = frame
        .plane_stride()
        .iter()
        .map(|stride| usize::try_from(*stride))
        .collect();
    let mut planes: [Plane; 4] = Default::default();
    for ((plane, data), stride) in planes.iter_mut().zip(frame.planes_data_mut()).zip(strides) {
        let stride = stride.map_err(|_| glib::bool_error!("its rows are in the wrong order"))?;
        *plane = Plane { data, stride };
    }
    let mut picture = Picture {
        layout,
        planes,
        area: Rect::new((0, 0), (info.width() as usize, info.height() as usize)),
    };
    for shape in shapes {
        shape.paint(&mut picture);
    }
    Ok(())
}

pub(super) fn composition(shapes: &[Shape]) -> Result<VideoOverlayComposition, glib::BoolError> {
    let layout = layout(&VideoInfo::builder(RECTANGLE, 1, 1).build()?);
    let tiles = shapes
        .iter()
        .flat_map(|shape| shape.tiles().into_iter().map(move |tile| (shape, tile)));
    let rectangles = tiles
        .map(|(shape, tile)| rectangle(shape, tile, &layout))
        .collect::<Result<Vec<_>, _>>()?;
    VideoOverlayComposition::new(&rectangles)
}

fn rectangle(shape: &Shape, tile: Rect, layout: &Layout) -> Result<VideoOverlayRectangle, glib::BoolError> {
    let stride = 4 * tile.width();
    let mut pixels = vec![0; stride * tile.height()];
    let mut planes: [Plane; 4] = Default::default();
    planes[0] = Plane {
        data: &mut pixels,
        stride,
    };
    shape.paint(&mut Picture {
        layout,
        planes,
        area: tile,
    });
    let (width, height) = (tile.width() as u32, tile.height() as u32);
    let mut buffer = gst::Buffer::from_mut_slice(pixels);
    let none = VideoFrameFlags::empty();
    VideoMeta::add(buffer.make_mut(), none, RECTANGLE, width, height)?;
    let (x, y) = (tile.left as i32, tile.top as i32);
    let flags = VideoOverlayFormatFlags::empty();
    Ok(VideoOverlayRectangle::new_raw(
        &buffer, x, y, width, height, flags,
    ))
}

/// Gives the buffer a composition, on top of the one that it has.
pub(super) fn attach(
    buffer: &mut gst::BufferRef,
    composition: &VideoOverlayComposition,
) -> Result<(), glib::BoolError> {
    let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() else {
        VideoOverlayCompositionMeta::add(buffer, composition);
        return Ok(());
    };
    let both: Vec<_> = meta.overlay_owned().iter().chain(composition.iter()).collect();
    meta.set_overlay(&VideoOverlayComposition::new(&both)?);
    Ok(())
}
