//! Networks for tests.

use prost::Message;

use super::onnx::*;

pub const SIDE: usize = 64;

/// What YOLOX is made of, small, with weights of no meaning.
#[derive(Default)]
pub struct Network {
    pub graph: GraphProto,
    noise: u32,
}

impl Network {
    /// Numbers between -1 and 1, always the same.
    pub fn noise(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(self.noise >> 16).unwrap()) / 32768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    pub fn constant(&mut self, tensor: TensorProto) -> String {
        let name = format!("constant{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            ..tensor
        });
        name
    }

    pub fn floats(&mut self, dims: &[i64], float_data: Vec<f32>) -> String {
        self.constant(TensorProto {
            data_type: Some(FLOAT),
            dims: dims.into(),
            float_data,
            ..TensorProto::default()
        })
    }

    pub fn number(&mut self, number: i64) -> String {
        self.constant(TensorProto {
            data_type: Some(INT64),
            dims: vec![1],
            raw_data: Some(number.to_le_bytes().into()),
            ..TensorProto::default()
        })
    }

    pub fn node(&mut self, op_type: &str, inputs: &[&str]) -> &mut NodeProto {
        let output = format!("value{}", self.graph.node.len());
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.graph.node.push(NodeProto::new(op_type, inputs, output));
        self.graph.node.last_mut().unwrap()
    }

    pub fn conv(&mut self, input: &str, [from, to]: [usize; 2], kernel: usize, stride: i64) -> String {
        let values = self.noise(from * to * kernel * kernel);
        let dims = [to, from, kernel, kernel].map(|size| i64::try_from(size).unwrap());
        let weights = self.floats(&dims, values);
        let bias = self.noise(to);
        let bias = self.floats(&dims[..1], bias);
        let conv = self.node("Conv", &[input, &weights, &bias]);
        conv.set_ints("kernel_shape", &dims[2..]);
        conv.set_ints("strides", &[stride; 2]);
        conv.set_ints("pads", &[dims[2] / 2; 4]);
        conv.output[0].clone()
    }

    pub fn slice(&mut self, input: &str, first: i64, axis: i64) -> String {
        let bounds = [first, i64::MAX, axis, 2].map(|number| self.number(number));
        let [first, last, axis, step] = bounds.each_ref().map(String::as_str);
        self.node("Slice", &[input, first, last, axis, step]).output[0].clone()
    }

    pub fn concat(&mut self, parts: &[&str], axis: i64) -> String {
        let concat = self.node("Concat", parts);
        concat.attribute.push(AttributeProto {
            name: Some("axis".into()),
            i: Some(axis),
            r#type: Some(2),
            ..AttributeProto::default()
        });
        concat.output[0].clone()
    }

    pub fn focus(&mut self, order: [[i64; 2]; 4]) -> String {
        let parts = order.map(|[row, column]| {
            let rows = self.slice("images", row, 2);
            self.slice(&rows, column, 3)
        });
        self.concat(&parts.each_ref().map(String::as_str), 1)
    }

    pub fn pool(&mut self, input: &str, size: i64) -> String {
        let pool = self.node("MaxPool", &[input]);
        pool.set_ints("kernel_shape", &[size; 2]);
        pool.set_ints("strides", &[1, 1]);
        pool.set_ints("pads", &[size / 2; 4]);
        pool.output[0].clone()
    }

    pub fn double(&mut self, input: &str, rounding: &str) -> String {
        let scales = self.floats(&[4], vec![1.0, 1.0, 2.0, 2.0]);
        let resize = self.node("Resize", &[input, "", &scales]);
        let modes = [
            ("mode", "nearest"),
            ("coordinate_transformation_mode", "asymmetric"),
            ("nearest_mode", rounding),
        ];
        for (name, value) in modes {
            resize.attribute.push(AttributeProto {
                name: Some(name.into()),
                s: Some(value.into()),
                r#type: Some(3),
                ..AttributeProto::default()
            });
        }
        resize.output[0].clone()
    }

    /// The file, whose output says its sizes if they are given.
    pub fn model(mut self, output: &str, sizes: &[usize]) -> Vec<u8> {
        let value = |name: &str, dims: &[usize]| ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: Some(FLOAT),
                    shape: (!dims.is_empty()).then(|| TensorShapeProto {
                        dim: dims.iter().map(dimension).collect(),
                    }),
                }),
            }),
            ..ValueInfoProto::default()
        };
        self.graph.name = Some("network".into());
        self.graph.input = vec![value("images", &[1, 3, SIDE, SIDE])];
        self.graph.output = vec![value(output, sizes)];
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto {
                domain: None,
                version: Some(13),
            }],
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

fn dimension(size: &usize) -> DimensionProto {
    DimensionProto {
        dim_value: i64::try_from(*size).ok(),
        ..DimensionProto::default()
    }
}

/// A YOLOX head of two classes on the bare picture, whose cells see nothing but their own pixels.
pub fn head() -> Vec<u8> {
    let mut network = Network::default();
    let grids = [8, 16, 32].map(|stride| {
        let scores = network.conv("images", [3, 7], stride, i64::try_from(stride).unwrap());
        let conv = network.graph.node.last_mut().unwrap();
        conv.set_ints("pads", &[0; 4]);
        let scores = network.node("Sigmoid", &[&scores]).output[0].clone();
        let cells = i64::try_from((SIDE / stride).pow(2)).unwrap();
        let shape = network.constant(TensorProto {
            data_type: Some(INT64),
            dims: vec![3],
            int64_data: vec![1, 7, cells],
            ..TensorProto::default()
        });
        network.node("Reshape", &[&scores, &shape]).output[0].clone()
    });
    let all = network.concat(&grids.each_ref().map(String::as_str), 2);
    let output = network.node("Transpose", &[&all]);
    output.set_ints("perm", &[0, 2, 1]);
    let output = output.output[0].clone();
    network.model(&output, &[1, 84, 7])
}
