use super::onnx::{DimensionProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto};
use super::*;

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |size: &i64| DimensionProto {
        dim_value: (*size > 0).then_some(*size),
        ..Default::default()
    };
    let tensor_type = TensorTypeProto {
        elem_type: Some(FLOAT),
        shape: Some(TensorShapeProto {
            dim: dims.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor_type),
        }),
        ..Default::default()
    }
}

fn graph(input: &[i64], output: &[i64], ops: &[&str]) -> Result<Graph, ModelError> {
    let op = |op_type: &&str| NodeProto {
        op_type: Some((*op_type).into()),
        ..Default::default()
    };
    let graph = GraphProto {
        node: ops.iter().map(op).collect(),
        input: vec![value("images", input)],
        output: vec![value("output", output)],
        ..Default::default()
    };
    let file = ModelProto {
        graph: Some(graph),
        ..Default::default()
    };
    Graph::parse(&file.encode_to_vec(), Path::new("dir/x.onnx"))
}

fn parse(input: &[i64], output: &[i64], ops: &[&str]) -> Result<Model, ModelError> {
    graph(input, output, ops)?.model(None)
}

#[test]
fn strides_and_classes_follow_from_the_shapes() {
    let model = parse(&[1, 3, 416, 416], &[1, 3549, 85], &["Conv"]).unwrap();
    assert_eq!((model.name.as_str(), model.size), ("x", (416, 416)));
    assert_eq!(
        (model.anchors, model.classes, model.strides),
        (3549, 80, &[8, 16, 32][..])
    );
    assert!(!model.decoded);
    let p6 = parse(&[0, 3, 384, 640], &[0, 5100, 6], &["Conv", "Exp"]).unwrap();
    assert_eq!(
        (p6.size, p6.classes, p6.strides.len(), p6.decoded),
        ((640, 384), 1, 4, true)
    );
}

#[test]
fn other_shapes_are_refused_with_what_was_expected() {
    let message = parse(&[1, 3, 416, 416], &[1, 1000], &[]).unwrap_err().to_string();
    assert_eq!(
        message,
        "dir/x.onnx is not a YOLOX export: output is 1×1000; expected 1×N×(5+classes) with N = 3549 (p6: 3585) \
         for the 416×416 input; it has `images` 1×3×416×416 → `output` 1×1000"
    );
    for (input, output) in [
        ([1, 3, 0, 0], [1, 3549, 85]),
        ([1, 1, 416, 416], [1, 3549, 85]),
        ([1, 3, i64::MAX, i64::MAX], [1, 3549, 85]),
        ([1, 3, 416, 416], [1, i64::MAX, i64::MAX]),
        ([1, 3, 416, 416], [1, 3549, 5]),
        ([1, 3, 416, 416], [1, 3548, 85]),
    ] {
        assert!(
            matches!(parse(&input, &output, &[]), Err(ModelError::NotYolox { .. })),
            "{input:?} {output:?}"
        );
    }
}

#[test]
fn inputs_and_outputs_are_named_when_there_are_several() {
    let file = ModelProto {
        graph: Some(GraphProto {
            input: vec![value("image", &[0, 3, 640, 640]), value("scale", &[0, 2])],
            output: vec![value("boxes", &[0, 300, 4])],
            ..Default::default()
        }),
        ..Default::default()
    };
    let message = Graph::parse(&file.encode_to_vec(), Path::new("x.onnx"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("2 inputs and 1 outputs"), "{message}");
    assert!(
        message.ends_with("`image` ?×3×640×640, `scale` ?×2 → `boxes` ?×300×4"),
        "{message}"
    );
}

#[test]
fn what_the_file_leaves_open_the_run_says() {
    let graph = graph(&[0, 3, 416, 416], &[0, 0, 0], &[]).unwrap();
    assert!(graph.is_open());
    let model = graph.model(Some(&[1, 3549, 7])).unwrap();
    assert_eq!((model.anchors, model.classes, model.batch), (3549, 2, None));
    let message = graph.model(Some(&[1, 25200, 85])).unwrap_err().to_string();
    assert!(
        message.contains("output is 1×25200×85") && message.contains("→ `output` ?×?×?"),
        "{message}"
    );
}

#[test]
fn a_fixed_batch_takes_no_other() {
    let fixed = graph(&[1, 3, 416, 416], &[1, 3549, 85], &[]).unwrap();
    assert!(fixed.check_batch(1).is_ok());
    let message = fixed.check_batch(4).unwrap_err().to_string();
    for words in ["dir/x.onnx", "`batch-size` is 4", "--dynamic"] {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
    let four = graph(&[4, 3, 416, 416], &[4, 3549, 85], &[]).unwrap();
    assert!(four.check_batch(4).is_ok() && four.check_batch(1).is_err());
    let dynamic = graph(&[0, 3, 416, 416], &[0, 3549, 85], &[]).unwrap();
    assert!(dynamic.check_batch(1).is_ok() && dynamic.check_batch(7).is_ok());
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b"not a model"[..], b""] {
        let error = Graph::parse(bytes, Path::new("x.onnx")).unwrap_err();
        assert!(matches!(error, ModelError::NotOnnx(..)), "{error}");
    }
    assert!(matches!(
        Graph::read(Path::new("/nonexistent/x.onnx")),
        Err(ModelError::Read { .. })
    ));
}

#[test]
fn shipped_models_are_understood() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    for (file, batch, classes, strides, decoded) in [
        ("blobs.onnx", Some(1), 3, 3, false),
        ("blobs_decoded.onnx", Some(1), 3, 3, true),
        ("blobs_dynamic.onnx", None, 3, 3, false),
        ("blobs_legacy.onnx", Some(1), 3, 3, false),
        ("blobs_pair.onnx", Some(2), 3, 3, false),
        ("blobs_p6.onnx", None, 1, 4, true),
    ] {
        let (graph, _) = Graph::read(&models.join(file)).unwrap();
        let ran = graph.is_open().then_some(&[1, 2125, 6][..]);
        let model = graph.model(ran).unwrap();
        assert_eq!(
            (
                model.size,
                model.batch,
                model.classes,
                model.strides.len(),
                model.decoded
            ),
            ((320, 320), batch, classes, strides, decoded),
            "{file}"
        );
        assert!(model.to_string().contains("320×320"), "{model}");
    }
}

#[test]
fn weights_in_other_files_are_refused() {
    let weights = TensorProto {
        name: Some("weights".into()),
        // `TensorProto.DataLocation.EXTERNAL`
        data_location: Some(1),
        ..TensorProto::default()
    };
    let file = ModelProto {
        graph: Some(GraphProto {
            input: vec![value("images", &[1, 3, 64, 64])],
            output: vec![value("output", &[1, 84, 7])],
            initializer: vec![weights],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let error = Graph::parse(&file.encode_to_vec(), Path::new("x.onnx")).unwrap_err();
    assert!(matches!(error, ModelError::ExternalData(_)), "{error}");
}
