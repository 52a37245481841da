//! What `overlay` draws.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gst::prelude::*;
use gst_video::{
    VideoFormat, VideoFrameFlags, VideoMeta, VideoOverlayCompositionMeta, VideoRegionOfInterestMeta,
};
use sightline_protocol::Detection;

#[test]
fn boxes_are_drawn_in_every_format() {
    init();
    for format in FORMATS {
        for (width, height) in [(320, 240), (333, 251)] {
            let info = info(format, width, height);
            let mut harness = harness(&element(), &info);
            let buffer = harness.push_and_pull(frame(&info, &[dog()])).unwrap();
            let at = colours(&buffer, &info);
            let (left, top) = (width / 4, height / 4);
            let places = [
                ("left line", (left + 2, height / 2), true),
                ("right line", (left + width / 2 - 2, height / 2), true),
                ("top line", (width / 2, top + 2), true),
                ("bottom line", (width / 2, top + height / 2 - 2), true),
                ("plate below the text", (left + 3, top - 1), true),
                ("inside", (width / 2, height / 2), false),
                ("outside", (width - 10, height - 10), false),
            ];
            for (name, (x, y), drawn) in places {
                let [red, green, blue] = at(x, y);
                let what = format!("{format:?} {width}×{height} {name}: {red} {green} {blue}");
                if !drawn {
                    assert!(red.max(green).max(blue) < 8, "{what}");
                } else if format == VideoFormat::Gray8 {
                    assert!(red > 150, "{what}");
                } else {
                    // The colour of class 16 is a light green. Beside black, subsampled colour is less pure.
                    let green_enough = red.abs_diff(173) < 35 && green > 215 && blue < 110;
                    assert!(green_enough, "{what}");
                }
            }
            assert!(buffer.meta::<VideoOverlayCompositionMeta>().is_none());
        }
    }
}

#[test]
fn drawing_is_opaque() {
    init();
    let info = info(VideoFormat::Rgba, 320, 240);
    let mut transparent = frame(&info, &[dog()]);
    transparent.make_mut().map_writable().unwrap().fill(0);
    let buffer = harness(&element(), &info).push_and_pull(transparent).unwrap();
    let pixels = bytes(&buffer);
    let alpha = |x: usize, y: usize| pixels[(y * 320 + x) * 4 + 3];
    assert_eq!((alpha(81, 100), alpha(82, 56), alpha(5, 5)), (255, 255, 0));
}

#[test]
fn a_line_at_an_odd_place_is_crisp() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let odd = Detection {
        bbox: [81.0 / 320.0, 61.0 / 240.0, 161.0 / 320.0, 101.0 / 240.0],
        ..dog()
    };
    let element = gst::ElementFactory::make("overlay")
        .property("line-width", 3u32)
        .build()
        .unwrap();
    let buffer = harness(&element, &info)
        .push_and_pull(frame(&info, &[odd]))
        .unwrap();
    let luma = |x: usize, y: usize| bytes(&buffer)[y * info.stride()[0] as usize + x];
    let row: Vec<_> = (79..87).map(|x| luma(x, 100)).collect();
    let column: Vec<_> = (157..164).map(|y| luma(200, y)).collect();
    let (line, black) = (row[2], 16);
    assert!(line > 150, "{row:?}");
    assert_eq!(row, [black, black, line, line, line, black, black, black]);
    assert_eq!(column, [black, black, line, line, line, black, black]);
}

#[test]
fn strides_and_offsets_are_those_of_the_frame() {
    init();
    let info = info(VideoFormat::I420, 50, 40);
    let detection = [dog()];
    let plain = harness(&element(), &info)
        .push_and_pull(frame(&info, &detection))
        .unwrap();
    let (offsets, strides) = ([100, 100 + 70 * 40, 100 + 70 * 40 + 35 * 20], [70, 35, 35]);
    let mut padded = frame(&info, &detection);
    let padded_mut = padded.make_mut();
    padded_mut.replace_all_memory(gst::Memory::from_mut_slice(vec![7; 100 + 70 * 40 + 2 * 35 * 20]));
    let none = VideoFrameFlags::empty();
    VideoMeta::add_full(padded_mut, none, VideoFormat::I420, 50, 40, &offsets, &strides).unwrap();
    let padded = bytes(&harness(&element(), &info).push_and_pull(padded).unwrap());
    assert!(
        padded[..100].iter().all(|byte| *byte == 7),
        "nothing before the frame"
    );
    let plain = bytes(&plain);
    for y in 0..40 {
        let (from, to) = (y * info.stride()[0] as usize, 100 + y * 70);
        for x in 0..50 {
            let (before, after) = (plain[from + x], padded[to + x]);
            assert!(
                after == before || (before == 16 && after == 7),
                "{x} {y}: {after} {before}"
            );
        }
        assert!(
            padded[to + 50..to + 70].iter().all(|byte| *byte == 7),
            "nothing beside it"
        );
    }
}

#[test]
fn frames_from_tiny_to_large_have_lines_and_labels() {
    init();
    for (width, height) in [
        (1, 1),
        (2, 3),
        (16, 16),
        (64, 64),
        (65, 63),
        (3840, 2160),
        (2160, 3840),
    ] {
        for format in [VideoFormat::I420, VideoFormat::Yuy2, VideoFormat::Rgb] {
            let info = info(format, width, height);
            let element = gst::ElementFactory::make("overlay").build().unwrap();
            let found = [
                dog(),
                Detection {
                    bbox: [0.0, 0.0, 1.0, 1.0],
                    ..dog()
                },
            ];
            let drawn = harness(&element, &info)
                .push_and_pull(frame(&info, &found))
                .unwrap();
            let at = colours(&drawn, &info);
            assert!(
                at(width - 1, height - 1).iter().max() > Some(&60),
                "{format:?} {width}×{height}"
            );
        }
    }
}

#[test]
fn regions_as_gvadetect_makes_them_look_the_same() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let element = element();
    element.set_property_from_str("colour-by", "track");
    let mut harness = harness(&element, &info);
    let ours = Detection {
        track_id: Some(5),
        ..dog()
    };
    let ours = harness.push_and_pull(frame(&info, &[ours])).unwrap();

    let mut buffer = black(&info);
    let mut region = VideoRegionOfInterestMeta::add(buffer.make_mut(), "dog", (80, 60, 160, 120));
    let detection = gst::Structure::builder("detection")
        .field("x_min", 0.25)
        .field("x_max", 0.75)
        .field("y_min", 0.25)
        .field("y_max", 0.75)
        .field("confidence", 0.86)
        .field("label_id", 16);
    region.add_param(detection.build());
    region.add_param(gst::Structure::builder("object_id").field("id", 5).build());
    let theirs = harness.push_and_pull(buffer).unwrap();
    assert!(bytes(&theirs) == bytes(&ours));
}

#[test]
fn a_region_without_parameters_is_drawn() {
    init();
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut buffer = black(&info);
    VideoRegionOfInterestMeta::add(buffer.make_mut(), "face", (80, 60, 160, 120));
    let drawn = harness(&element(), &info).push_and_pull(buffer).unwrap();
    let at = colours(&drawn, &info);
    assert_ne!(at(81, 100), [0, 0, 0]);
    assert_ne!(at(82, 50), [0, 0, 0]);
}

#[test]
fn what_is_drawn_can_change_while_playing() {
    init();
    let info = info(VideoFormat::Rgb, 320, 240);
    let element = element();
    let mut harness = harness(&element, &info);
    let mut drawn = || {
        let buffer = harness.push_and_pull(frame(&info, &[dog()])).unwrap();
        let pixels = bytes(&buffer);
        pixels.chunks(3).filter(|pixel| **pixel != [0, 0, 0]).count()
    };
    let all = drawn();
    element.set_property("show-scores", false);
    let without_score = drawn();
    element.set_property("show-labels", false);
    let boxes = drawn();
    element.set_property("line-width", 1u32);
    let thin = drawn();
    assert!(
        all > without_score && without_score > boxes && boxes > thin,
        "{all} {without_score} {boxes} {thin}"
    );
    // 160 × 120 pixels, each line once; the edge within is as black as the frame.
    assert_eq!(thin, 2 * 160 + 2 * 118);
    element.set_property("font-size", 40u32);
    element.set_property("show-labels", true);
    assert!(drawn() > all);
    let before = drawn();
    element.set_property("label-format", "{label} of class {class}");
    assert!(drawn() > before);
    assert_eq!(stat(&element, "frames"), 7);
    assert_eq!(stat(&element, "unchanged"), 1);
}
