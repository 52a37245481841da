//! What a YOLOX model's ONNX file says about itself.
//!
//! The few messages of the ONNX format that matter here are declared below with their field numbers from
//! `onnx.proto3`; all other fields, the weights among them, are skipped.

use std::path::{Path, PathBuf};

use prost::Message;

/// Cells of these sizes in pixels predict one object each; p6 models have a fourth, coarser grid.
const STRIDES: [&[usize]; 2] = [&[8, 16, 32], &[8, 16, 32, 64]];

/// `TensorProto.DataType.FLOAT`
const FLOAT: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("no model at {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{0} is not an ONNX model: {1}")]
    NotOnnx(PathBuf, String),
    #[error("{0} keeps weights in other files; export it as a single file")]
    ExternalData(PathBuf),
    #[error("{path} is not a YOLOX export: {what}")]
    NotYolox { path: PathBuf, what: String },
}

/// The facts that pre- and post-processing need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The file's name without its extension.
    pub name: String,
    pub input: String,
    pub output: String,
    /// Width and height of the input in pixels.
    pub size: (usize, usize),
    /// Number of predictions in the output.
    pub anchors: usize,
    pub classes: usize,
    pub strides: &'static [usize],
    /// Whether the graph itself turns grid offsets into boxes in pixels.
    pub decoded: bool,
    pub metadata: Vec<(String, String)>,
}

impl Model {
    /// Reads a file; its bytes come back too, so that what was checked is what is loaded.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok((Self::parse(&bytes, path)?, bytes))
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, ModelError> {
        let not_onnx = |why: &dyn std::fmt::Display| ModelError::NotOnnx(path.to_owned(), why.to_string());
        let file = ModelProto::decode(bytes).map_err(|error| not_onnx(&error))?;
        let graph = file.graph.ok_or_else(|| not_onnx(&"it has no graph"))?;
        if graph.initializer.iter().any(|weights| weights.data_location != 0) {
            return Err(ModelError::ExternalData(path.to_owned()));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut model = graph.model().map_err(|what| ModelError::NotYolox {
            path: path.to_owned(),
            what,
        })?;
        model.name = name.into_owned();
        model.metadata = file
            .metadata_props
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
        Ok(model)
    }
}

/// Number of grid cells of all strides over an input of `size`.
fn cells(strides: &[usize], (width, height): (usize, usize)) -> usize {
    strides
        .iter()
        .map(|stride| (width / stride) * (height / stride))
        .sum()
}

#[derive(Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Message)]
struct NodeProto {
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Message)]
struct TensorProto {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

#[derive(Message)]
struct DimensionProto {
    /// Absent in a dimension that is only known when the model runs.
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
}

impl GraphProto {
    fn model(&self) -> Result<Model, String> {
        // Old exporters list the weights among the inputs.
        let is_weight =
            |input: &&ValueInfoProto| self.initializer.iter().any(|weights| weights.name == input.name);
        let inputs: Vec<_> = self.input.iter().filter(|input| !is_weight(input)).collect();
        let ([input], [output]) = (&inputs[..], &self.output[..]) else {
            let (inputs, outputs) = (inputs.len(), self.output.len());
            return Err(format!(
                "it has {inputs} inputs and {outputs} outputs; expected one of each"
            ));
        };
        let size = match input.dims()[..] {
            [Some(1) | None, Some(3), Some(height), Some(width)] if height >= 32 && width >= 32 => {
                (width, height)
            }
            _ => {
                let shape = input.shape();
                return Err(format!(
                    "input is {shape}; expected 1×3×H×W with a fixed height and width"
                ));
            }
        };
        if let Some(value) = [*input, output]
            .into_iter()
            .find(|value| value.elem_type() != FLOAT)
        {
            return Err(format!("`{}` does not hold 32-bit floats", value.name));
        }
        let (anchors, classes, strides) = output.predictions(size)?;
        Ok(Model {
            name: String::new(),
            input: input.name.clone(),
            output: output.name.clone(),
            size,
            anchors,
            classes,
            strides,
            // Sizes are predicted as logarithms, and nothing else in YOLOX needs an exponential.
            decoded: self.node.iter().any(|node| node.op_type == "Exp"),
            metadata: Vec::new(),
        })
    }
}

impl ValueInfoProto {
    fn tensor(&self) -> Option<&TensorTypeProto> {
        self.r#type.as_ref()?.tensor_type.as_ref()
    }

    fn elem_type(&self) -> i32 {
        self.tensor().map_or(0, |tensor| tensor.elem_type)
    }

    fn dims(&self) -> Vec<Option<usize>> {
        let shape = self.tensor().and_then(|tensor| tensor.shape.as_ref());
        let size = |dim: &DimensionProto| dim.dim_value.and_then(|size| usize::try_from(size).ok());
        shape.map_or(Vec::new(), |shape| shape.dim.iter().map(size).collect())
    }

    fn shape(&self) -> String {
        let size = |dim: &Option<usize>| dim.map_or("?".to_owned(), |size| size.to_string());
        self.dims().iter().map(size).collect::<Vec<_>>().join("×")
    }

    /// Predictions, classes and strides of the output for an input of `size`.
    fn predictions(&self, size: (usize, usize)) -> Result<(usize, usize, &'static [usize]), String> {
        if let [Some(1) | None, Some(anchors), Some(values @ 6..)] = self.dims()[..] {
            let fits = |strides: &&&[usize]| cells(strides, size) == anchors;
            if let Some(strides) = STRIDES.iter().find(fits) {
                return Ok((anchors, values - 5, strides));
            }
        }
        let [p5, p6] = STRIDES.map(|strides| cells(strides, size));
        let (shape, (width, height)) = (self.shape(), size);
        Err(format!(
            "output is {shape}; expected 1×N×(5+classes) with N = {p5} (p6: {p6}) for the {width}×{height} input"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
        let dim = |size: &i64| DimensionProto {
            dim_value: (*size > 0).then_some(*size),
        };
        let tensor_type = TensorTypeProto {
            elem_type: FLOAT,
            shape: Some(TensorShapeProto {
                dim: dims.iter().map(dim).collect(),
            }),
        };
        ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto {
                tensor_type: Some(tensor_type),
            }),
        }
    }

    fn parse(input: &[i64], output: &[i64], ops: &[&str]) -> Result<Model, ModelError> {
        let op = |op_type: &&str| NodeProto {
            op_type: (*op_type).into(),
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
        Model::parse(&file.encode_to_vec(), Path::new("dir/x.onnx"))
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
             for the 416×416 input"
        );
        for (input, output) in [
            ([1, 3, 0, 0], [1, 3549, 85]),
            ([1, 1, 416, 416], [1, 3549, 85]),
            ([1, 3, 416, 416], [1, 3549, 5]),
            ([1, 3, 416, 416], [1, 3548, 85]),
            ([2, 3, 416, 416], [2, 3549, 85]),
        ] {
            assert!(
                matches!(parse(&input, &output, &[]), Err(ModelError::NotYolox { .. })),
                "{input:?} {output:?}"
            );
        }
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b"not a model"[..], b""] {
            let error = Model::parse(bytes, Path::new("x.onnx")).unwrap_err();
            assert!(matches!(error, ModelError::NotOnnx(..)), "{error}");
        }
        assert!(matches!(
            Model::read(Path::new("/nonexistent/x.onnx")),
            Err(ModelError::Read { .. })
        ));
    }

    #[test]
    fn shipped_models_are_understood() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        for (file, decoded) in [("blobs.onnx", false), ("blobs_decoded.onnx", true)] {
            let (model, _) = Model::read(&models.join(file)).unwrap();
            assert_eq!(
                (model.size, model.classes, model.decoded),
                ((320, 320), 3, decoded),
                "{file}"
            );
        }
    }
}
