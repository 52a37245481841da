use ort::session::Session;
use ort::value::TensorRef;

use super::super::onnx::{
    AttributeProto, DimensionProto, INT64, OperatorSetIdProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use super::*;

const SIDE: usize = 64;

/// What YOLOX is made of, small, with weights of no meaning.
#[derive(Default)]
struct Network {
    graph: GraphProto,
    noise: u32,
}

impl Network {
    /// Numbers between -1 and 1, always the same.
    fn noise(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(self.noise >> 16).unwrap()) / 32768.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = format!("constant{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            ..tensor
        });
        name
    }

    fn floats(&mut self, dims: &[i64], float_data: Vec<f32>) -> String {
        self.constant(TensorProto {
            data_type: Some(FLOAT),
            dims: dims.into(),
            float_data,
            ..TensorProto::default()
        })
    }

    fn number(&mut self, number: i64) -> String {
        self.constant(TensorProto {
            data_type: Some(INT64),
            dims: vec![1],
            raw_data: Some(number.to_le_bytes().into()),
            ..TensorProto::default()
        })
    }

    fn node(&mut self, op_type: &str, inputs: &[&str]) -> &mut NodeProto {
        let output = format!("value{}", self.graph.node.len());
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.graph.node.push(NodeProto::new(op_type, inputs, output));
        self.graph.node.last_mut().unwrap()
    }

    fn conv(&mut self, input: &str, [from, to]: [usize; 2], kernel: usize, stride: i64) -> String {
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

    fn slice(&mut self, input: &str, first: i64, axis: i64) -> String {
        let bounds = [first, i64::MAX, axis, 2].map(|number| self.number(number));
        let [first, last, axis, step] = bounds.each_ref().map(String::as_str);
        self.node("Slice", &[input, first, last, axis, step]).output[0].clone()
    }

    fn concat(&mut self, parts: &[&str]) -> String {
        let concat = self.node("Concat", parts);
        concat.attribute.push(AttributeProto {
            name: Some("axis".into()),
            i: Some(1),
            r#type: Some(2),
            ..AttributeProto::default()
        });
        concat.output[0].clone()
    }

    fn focus(&mut self, order: [[i64; 2]; 4]) -> String {
        let parts = order.map(|[row, column]| {
            let rows = self.slice("images", row, 2);
            self.slice(&rows, column, 3)
        });
        self.concat(&parts.each_ref().map(String::as_str))
    }

    fn pool(&mut self, input: &str, size: i64) -> String {
        let pool = self.node("MaxPool", &[input]);
        pool.set_ints("kernel_shape", &[size; 2]);
        pool.set_ints("strides", &[1, 1]);
        pool.set_ints("pads", &[size / 2; 4]);
        pool.output[0].clone()
    }

    fn double(&mut self, input: &str, rounding: &str) -> String {
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

    fn model(mut self, output: &str) -> Vec<u8> {
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
        self.graph.output = vec![value(output, &[])];
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

/// What a model says about a picture of noise.
fn run(model: &[u8]) -> Vec<f32> {
    let picture = Network::default().noise(3 * SIDE * SIDE);
    let mut session = Session::builder(crate::runtime::environment().unwrap())
        .unwrap()
        .commit_from_memory(model)
        .unwrap();
    let picture = TensorRef::from_array_view(([1, 3, SIDE, SIDE], &picture[..])).unwrap();
    let outputs = session.run(ort::inputs![picture]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

fn count(model: &[u8], op_type: &str) -> usize {
    let graph = ModelProto::decode(model).unwrap().graph.unwrap();
    graph.node.iter().filter(|node| node.is(op_type)).count()
}

/// The model rewritten; it must say what it said before.
fn rewritten(model: &[u8]) -> Vec<u8> {
    let faster = faster(model, RULES).expect("something to rewrite");
    let (before, after) = (run(model), run(&faster));
    assert_eq!(before.len(), after.len());
    let largest = before
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (before, after) in before.iter().zip(&after) {
        assert!(
            (before - after).abs() <= largest * 1e-5,
            "{before} became {after}"
        );
    }
    faster
}

#[test]
fn the_first_convolution_looks_at_the_picture_itself() {
    // As YOLOX does it, and another way.
    for order in [[[0, 0], [1, 0], [0, 1], [1, 1]], [[1, 1], [0, 1], [0, 0], [1, 0]]] {
        let mut network = Network::default();
        let focus = network.focus(order);
        let output = network.conv(&focus, [12, 16], 3, 1);
        let faster = rewritten(&network.model(&output));
        assert_eq!(
            ["Slice", "Concat", "Conv"].map(|kind| count(&faster, kind)),
            [0, 0, 1]
        );
    }
}

#[test]
fn pools_are_chained() {
    let mut network = Network::default();
    let value = network.conv("images", [3, 16], 3, 2);
    let pools = [5, 9, 13].map(|size| network.pool(&value, size));
    let output = network.concat(&[&value, &pools[0], &pools[1], &pools[2]]);
    let faster = rewritten(&network.model(&output));
    let graph = ModelProto::decode(&faster[..]).unwrap().graph.unwrap();
    let pools = graph.node.iter().filter(|node| node.is("MaxPool"));
    let windows: Vec<_> = pools.map(|pool| pool.ints("kernel_shape")[0]).collect();
    assert_eq!(windows, [5, 5, 5]);
}

#[test]
fn concatenated_values_are_convolved_apart() {
    let mut network = Network::default();
    let parts = [16, 32].map(|channels| network.conv("images", [3, channels], 3, 2));
    let both = network.concat(&[&parts[0], &parts[1]]);
    let output = network.conv(&both, [48, 16], 1, 1);
    let faster = rewritten(&network.model(&output));
    assert_eq!(
        ["Concat", "Conv", "Add"].map(|kind| count(&faster, kind)),
        [0, 4, 1]
    );
}

#[test]
fn copies_are_convolved_before_they_are_made() {
    let mut network = Network::default();
    let large = network.conv("images", [3, 16], 3, 2);
    let small = network.conv(&large, [16, 24], 3, 2);
    let small = network.double(&small, "floor");
    let both = network.concat(&[&small, &large]);
    // Two convolutions of the same, as in YOLOX.
    let ends = [16, 16].map(|channels| network.conv(&both, [40, channels], 1, 1));
    let output = network.node("Mul", &[&ends[0], &ends[1]]).output[0].clone();
    let faster = rewritten(&network.model(&output));
    assert_eq!(
        ["Concat", "Conv", "Resize"].map(|kind| count(&faster, kind)),
        [0, 6, 2]
    );
}

#[test]
fn what_would_give_something_else_stays() {
    let stays = |make: fn(&mut Network) -> String| {
        let mut network = Network::default();
        let output = make(&mut network);
        assert_eq!(faster(&network.model(&output), RULES), None);
    };
    // Copies that are not two of each.
    stays(|network| {
        let large = network.conv("images", [3, 16], 3, 2);
        let small = network.conv(&large, [16, 16], 3, 2);
        let small = network.double(&small, "ceil");
        let both = network.concat(&[&small, &large]);
        let ends = [16, 16].map(|channels| network.conv(&both, [32, channels], 1, 1));
        network.node("Mul", &[&ends[0], &ends[1]]).output[0].clone()
    });
    // A convolution of more than single pixels.
    stays(|network| {
        let parts = [16, 16].map(|channels| network.conv("images", [3, channels], 3, 2));
        let both = network.concat(&[&parts[0], &parts[1]]);
        network.conv(&both, [32, 16], 3, 1)
    });
    // Pools that move.
    stays(|network| {
        let pools = [5, 9].map(|size| {
            network.pool("images", size);
            let pool = network.graph.node.last_mut().unwrap();
            pool.set_ints("strides", &[2, 2]);
            pool.output[0].clone()
        });
        network.concat(&[&pools[0], &pools[1]])
    });
    // Values that the graph gives out are needed as they are.
    stays(|network| network.focus([[0, 0], [1, 0], [0, 1], [1, 1]]));
}

#[test]
fn files_with_unknown_parts_stay() {
    let mut network = Network::default();
    let focus = network.focus([[0, 0], [1, 0], [0, 1], [1, 1]]);
    let output = network.conv(&focus, [12, 16], 3, 1);
    let mut model = network.model(&output);
    assert!(faster(&model, RULES).is_some());
    // Field 25, functions, which call nodes by other names.
    model.extend([0xca, 0x01, 0x00]);
    assert_eq!(faster(&model, RULES), None);
    assert_eq!(faster(b"not a model", RULES), None);
}
