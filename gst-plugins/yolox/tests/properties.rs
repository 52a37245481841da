//! `yoloxdetect`'s properties, and what it says when they are wrong.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{element, init, model};
use gst::glib;
use gst::prelude::*;

/// Property, a value other than the default, and values out of range.
fn cases() -> Vec<(&'static str, glib::Value, Vec<glib::Value>)> {
    let enumeration = |name: &str, nick: &str| {
        let class = glib::EnumClass::with_type(glib::Type::from_name(name).unwrap()).unwrap();
        class.to_value_by_nick(nick).unwrap()
    };
    vec![
        ("model", "m.onnx".to_value(), vec![]),
        ("labels", "l.txt".to_value(), vec![]),
        (
            "normalisation",
            enumeration("GstYoloxDetectNormalisation", "legacy"),
            vec![],
        ),
        (
            "score-threshold",
            0.5.to_value(),
            vec![(-0.1).to_value(), 1.1.to_value()],
        ),
        (
            "nms-threshold",
            0.6.to_value(),
            vec![(-0.1).to_value(), 1.1.to_value()],
        ),
        ("nms", enumeration("GstYoloxDetectNms", "class-aware"), vec![]),
        ("max-detections", 5u32.to_value(), vec![0u32.to_value()]),
        ("classes", "red,2".to_value(), vec![]),
        ("interval", 3u32.to_value(), vec![]),
        (
            "execution-provider",
            enumeration("GstYoloxDetectExecutionProvider", "cuda"),
            vec![],
        ),
        (
            "input-shape",
            enumeration("GstYoloxDetectInputShape", "picture"),
            vec![],
        ),
        ("device-id", 1u32.to_value(), vec![]),
        ("intra-threads", 2u32.to_value(), vec![1025u32.to_value()]),
        ("model-instance-id", "street".to_value(), vec![]),
        (
            "batch-size",
            4u32.to_value(),
            vec![0u32.to_value(), 257u32.to_value()],
        ),
        (
            "batch-timeout",
            0u64.to_value(),
            vec![10_000_000_001u64.to_value()],
        ),
        ("messages", true.to_value(), vec![]),
    ]
}

#[test]
fn late_frames_are_minded_unless_told_otherwise() {
    init();
    let element = gst::ElementFactory::make("yoloxdetect").build().unwrap();
    assert!(element.property::<bool>("qos"));
    element.set_property("qos", false);
    assert!(!element.property::<bool>("qos"));
}

fn text(value: &glib::Value) -> String {
    format!("{value:?}")
}

#[test]
fn every_property_is_read_back() {
    init();
    let element = gst::ElementFactory::make("yoloxdetect").build().unwrap();
    let own: Vec<_> = element
        .list_properties()
        .iter()
        .filter(|property| property.owner_type() == element.type_())
        .map(|property| property.name().to_owned())
        .collect();
    let cases = cases();
    assert_eq!(own.len(), cases.len() + 1, "all but `stats` are tried: {own:?}");
    for (name, value, outside) in cases {
        assert_ne!(
            text(&element.property_value(name)),
            text(&value),
            "{name} differs from its default"
        );
        element.set_property_from_value(name, &value);
        assert_eq!(text(&element.property_value(name)), text(&value), "{name}");
        for outside in outside {
            let set = catch_unwind(AssertUnwindSafe(|| {
                element.set_property_from_value(name, &outside)
            }));
            assert!(set.is_err(), "{name} takes {outside:?}");
            assert_eq!(text(&element.property_value(name)), text(&value), "{name}");
        }
    }
}

/// The error posted when the element is started, which must not take long.
fn start_error(element: &gst::Element) -> (glib::Error, Duration) {
    let pipeline = gst::Pipeline::new();
    pipeline.add(element).unwrap();
    let start = Instant::now();
    let result = pipeline.set_state(gst::State::Paused);
    let took = start.elapsed();
    assert!(result.is_err(), "the state change must fail");
    let message = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gst::MessageType::Error])
        .expect("an error on the bus");
    pipeline.set_state(gst::State::Null).unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!()
    };
    (error.error(), took)
}

fn assert_start_error(element: &gst::Element, kind: gst::ResourceError, words: &[&str]) {
    let (error, took) = start_error(element);
    assert_eq!(error.kind::<gst::ResourceError>(), Some(kind), "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word:?} is not in {error}");
    }
    assert!(took < Duration::from_secs(2), "{error} took {took:?}");
}

#[test]
fn without_a_model_it_says_what_to_set() {
    init();
    let element = gst::ElementFactory::make("yoloxdetect").build().unwrap();
    assert_start_error(&element, gst::ResourceError::Settings, &["`model`"]);
}

#[test]
fn a_missing_model_is_named() {
    init();
    let element = element();
    element.set_property("model", "/nonexistent/yolox.onnx");
    assert_start_error(
        &element,
        gst::ResourceError::NotFound,
        &["/nonexistent/yolox.onnx"],
    );
}

#[test]
fn what_is_no_model_is_refused() {
    init();
    let element = element();
    element.set_property("model", model("blobs.txt"));
    assert_start_error(&element, gst::ResourceError::Failed, &["blobs.txt", "not"]);
}

#[test]
fn what_is_no_yolox_is_refused_with_its_shapes() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.onnx");
    let mut bytes = std::fs::read(model("blobs.onnx")).unwrap();
    // The dimension of 2100 predictions, as ONNX writes it, becomes 2101.
    let place = bytes
        .windows(3)
        .rposition(|window| window == [0x08, 0xb4, 0x10])
        .unwrap();
    bytes[place + 1] = 0xb5;
    std::fs::write(&file, bytes).unwrap();
    let element = element();
    element.set_property("model", file.to_str().unwrap());
    assert_start_error(
        &element,
        gst::ResourceError::Failed,
        &[
            file.to_str().unwrap(),
            "not a YOLOX export",
            "`images` 1×3×320×320",
            "`output` 1×2101×8",
        ],
    );
}

#[test]
fn a_batch_that_the_model_cannot_take_says_how_to_export_it() {
    init();
    for (file, batch) in [
        ("blobs.onnx", 4u32),
        ("blobs_pair.onnx", 1),
        ("blobs_pair.onnx", 3),
    ] {
        let element = element();
        element.set_property("model", model(file));
        element.set_property("batch-size", batch);
        let said = format!("`batch-size` is {batch}");
        assert_start_error(
            &element,
            gst::ResourceError::Settings,
            &[&model(file), &said, "export_onnx.py --dynamic"],
        );
    }
}

#[test]
fn elements_that_share_a_model_must_agree() {
    init();
    let first = element();
    first.set_property("model-instance-id", "agreed");
    first.set_state(gst::State::Paused).unwrap();
    let second = element();
    second.set_property("model-instance-id", "agreed");
    second.set_property("model", model("blobs_decoded.onnx"));
    second.set_property("intra-threads", 2u32);
    assert_start_error(
        &second,
        gst::ResourceError::Settings,
        &[
            "\"agreed\"",
            "blobs.onnx there",
            "blobs_decoded.onnx here",
            "`intra-threads` is 1 there and 2 here",
        ],
    );
    first.set_state(gst::State::Null).unwrap();
    second
        .set_state(gst::State::Paused)
        .expect("nobody has the id any more");
    second.set_state(gst::State::Null).unwrap();
}

#[test]
fn labels_must_exist_and_fit() {
    init();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("labels.txt");
    for (labels, kind, words) in [
        (None, gst::ResourceError::NotFound, &["labels.txt"][..]),
        (
            Some("red\ngr|een\nblue"),
            gst::ResourceError::Settings,
            &["line 2", "gr|een"],
        ),
        (
            Some("red\ngr;een\nblue"),
            gst::ResourceError::Settings,
            &["line 2", "gr;een"],
        ),
        (
            Some("red\ngreen"),
            gst::ResourceError::Settings,
            &["2 labels", "3 classes"],
        ),
    ] {
        if let Some(labels) = labels {
            std::fs::write(&file, labels).unwrap();
        }
        let element = element();
        element.set_property("labels", file.to_str().unwrap());
        assert_start_error(&element, kind, words);
    }
}

#[test]
fn unknown_classes_are_refused() {
    init();
    let element = element();
    element.set_property("classes", "red,purple");
    assert_start_error(&element, gst::ResourceError::Settings, &["purple"]);
}

#[test]
fn a_provider_that_the_library_lacks_is_refused() {
    init();
    // No build of ONNX Runtime has both of these, so that at least one of them fails.
    let fails = |provider: &&str| {
        let element = element();
        element.set_property_from_str("execution-provider", provider);
        let failed = element.set_state(gst::State::Paused).is_err();
        element.set_state(gst::State::Null).unwrap();
        failed
    };
    let provider = ["openvino", "tensorrt"]
        .into_iter()
        .find(fails)
        .expect("one of them fails");
    let element = element();
    element.set_property_from_str("execution-provider", provider);
    assert_start_error(
        &element,
        gst::ResourceError::Settings,
        &[provider, "`execution-provider`"],
    );
}

/// Run by the test below in a process of its own, where the library is missing.
#[test]
#[ignore = "needs a missing library"]
fn without_the_library() {
    init();
    let path = std::env::var("ORT_DYLIB_PATH").unwrap();
    assert_start_error(
        &element(),
        gst::ResourceError::NotFound,
        &[&path, "ORT_DYLIB_PATH"],
    );
}

#[test]
fn a_missing_library_is_named() {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_the_library", "--ignored"])
        .env("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Run by the test below in a process of its own, where nothing says where the library is.
#[test]
#[ignore = "needs a process without ORT_DYLIB_PATH"]
fn without_any_library() {
    init();
    assert_start_error(
        &element(),
        gst::ResourceError::NotFound,
        &["libonnxruntime.so", "`make`", "ORT_DYLIB_PATH"],
    );
}

#[test]
fn a_library_nowhere_to_be_found_says_what_to_do() {
    // A copy of this program in an empty folder, so that nothing lies beside it.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let system = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib",
        "/usr/local/lib",
    ];
    if system
        .iter()
        .any(|folder| std::path::Path::new(folder).join("libonnxruntime.so").exists())
    {
        eprintln!("not tested: ONNX Runtime is installed system-wide");
        return;
    }
    let status = std::process::Command::new(program)
        .args(["--exact", "without_any_library", "--ignored"])
        .env_remove("ORT_DYLIB_PATH")
        .env_remove("LD_LIBRARY_PATH")
        .status()
        .unwrap();
    assert!(status.success());
}
