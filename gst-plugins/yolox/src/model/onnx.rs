//! The ONNX format, with its field numbers from `onnx.proto3`: what a YOLOX export may hold. Fields that are not here
//! (subgraphs, training, quantisation) are skipped. All else is written again as it was read: what is absent stays absent.

use prost::Message;

/// `TensorProto.DataType`
pub const FLOAT: i32 = 1;
pub const UINT8: i32 = 2;
pub const INT64: i32 = 7;

/// `AttributeProto.AttributeType`
pub const INT: i32 = 2;
const INTS: i32 = 7;

#[derive(Clone, Message)]
pub struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "5")]
    pub model_version: Option<i64>,
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

#[derive(Clone, Message)]
pub struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

#[derive(Clone, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(string, optional, tag = "10")]
    pub doc_string: Option<String>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "13")]
    pub doc_string: Option<String>,
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(string, optional, tag = "12")]
    pub doc_string: Option<String>,
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

#[derive(Clone, Message)]
pub struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    #[prost(string, optional, tag = "3")]
    pub doc_string: Option<String>,
}

#[derive(Clone, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, Message)]
pub struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

#[derive(Clone, Message)]
pub struct DimensionProto {
    /// Absent in a dimension that is only known when the model runs.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}

impl ModelProto {
    /// A model of which all is known here, so that nothing is lost when it is written again.
    pub fn known(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes)
            .ok()
            .filter(|model| model.encoded_len() == bytes.len())
    }
}

impl ValueInfoProto {
    fn tensor(&self) -> Option<&TensorTypeProto> {
        self.r#type.as_ref()?.tensor_type.as_ref()
    }

    pub fn elem_type(&self) -> i32 {
        self.tensor().map_or(0, TensorTypeProto::elem_type)
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

impl NodeProto {
    pub fn new(op_type: &str, input: Vec<String>, output: String) -> Self {
        Self {
            op_type: Some(op_type.into()),
            input,
            output: vec![output],
            ..Self::default()
        }
    }

    pub fn is(&self, op_type: &str) -> bool {
        self.op_type() == op_type && self.domain().is_empty()
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// Whole numbers of an attribute; none if it has none.
    pub fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub fn set_ints(&mut self, name: &str, ints: &[i64]) {
        self.attribute.retain(|attribute| attribute.name() != name);
        self.attribute.push(AttributeProto {
            name: Some(name.into()),
            ints: ints.into(),
            r#type: Some(INTS),
            ..AttributeProto::default()
        });
    }
}

impl TensorProto {
    pub fn floats(&self) -> Option<Vec<f32>> {
        let raw = self
            .raw_data()
            .chunks_exact(4)
            .filter_map(|bytes| bytes.try_into().ok());
        let values = match self.data_type() {
            FLOAT if self.float_data.is_empty() => raw.map(f32::from_le_bytes).collect(),
            FLOAT => self.float_data.clone(),
            _ => return None,
        };
        self.is_full(&values).then_some(values)
    }

    pub fn int64s(&self) -> Option<Vec<i64>> {
        let raw = self
            .raw_data()
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok());
        let values = match self.data_type() {
            INT64 if self.int64_data.is_empty() => raw.map(i64::from_le_bytes).collect(),
            INT64 => self.int64_data.clone(),
            _ => return None,
        };
        self.is_full(&values).then_some(values)
    }

    fn is_full<T>(&self, values: &[T]) -> bool {
        let mut sizes = self.dims.iter().map(|size| usize::try_from(*size).ok());
        sizes.try_fold(1_usize, |all, size| all.checked_mul(size?)) == Some(values.len())
    }
}
