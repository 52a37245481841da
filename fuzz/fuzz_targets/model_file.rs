//! A file that is no model is refused; one that is taken has facts that fit together.
#![no_main]

use std::path::Path;

use gstyolox::model::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = Model::parse(bytes, Path::new("fuzz.onnx")) {
        assert!(model.classes >= 1 && model.anchors >= 1);
        assert!(model.size.0 >= 32 && model.size.1 >= 32);
    }
});
