//! A file that is no model is refused; one that is taken has facts that fit together, and can be looked at for rewrites.
#![no_main]

use std::path::Path;

use gstyolox::model::{Graph, rewrite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes, Path::new("fuzz.onnx")) else {
        return;
    };
    rewrite::faster(bytes, rewrite::RULES);
    // A file may leave the output's shape to the run.
    for ran in [None, Some(&[1, 2100, 8][..]), Some(&[usize::MAX; 3]), Some(&[])] {
        if let Ok(model) = graph.model(ran) {
            assert!(model.classes >= 1 && model.anchors >= 1);
            assert!(model.size.0 >= 32 && model.size.1 >= 32);
        }
    }
});
