//! The few messages of the ONNX format that matter here, with their field numbers from `onnx.proto3`.
//! All other fields, the weights among them, are skipped.

use prost::Message;

/// `TensorProto.DataType.FLOAT`
pub const FLOAT: i32 = 1;

#[derive(Message)]
pub struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Message)]
pub struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

#[derive(Message)]
pub struct NodeProto {
    #[prost(string, tag = "4")]
    pub op_type: String,
}

#[derive(Message)]
pub struct TensorProto {
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

#[derive(Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

#[derive(Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

#[derive(Message)]
pub struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

#[derive(Message)]
pub struct DimensionProto {
    /// Absent in a dimension that is only known when the model runs.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
}

impl ValueInfoProto {
    fn tensor(&self) -> Option<&TensorTypeProto> {
        self.r#type.as_ref()?.tensor_type.as_ref()
    }

    pub fn elem_type(&self) -> i32 {
        self.tensor().map_or(0, |tensor| tensor.elem_type)
    }

    /// Sizes; `None` where only the run knows.
    pub fn dims(&self) -> Vec<Option<usize>> {
        let shape = self.tensor().and_then(|tensor| tensor.shape.as_ref());
        let size = |dim: &DimensionProto| {
            dim.dim_value
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size > 0)
        };
        shape.map_or(Vec::new(), |shape| shape.dim.iter().map(size).collect())
    }
}
