use ort::session::Session;
use ort::value::TensorRef;

use super::super::network::{Network, SIDE};
use super::*;

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
        let faster = rewritten(&network.model(&output, &[]));
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
    let output = network.concat(&[&value, &pools[0], &pools[1], &pools[2]], 1);
    let faster = rewritten(&network.model(&output, &[]));
    let graph = ModelProto::decode(&faster[..]).unwrap().graph.unwrap();
    let pools = graph.node.iter().filter(|node| node.is("MaxPool"));
    let windows: Vec<_> = pools.map(|pool| pool.ints("kernel_shape")[0]).collect();
    assert_eq!(windows, [5, 5, 5]);
}

#[test]
fn concatenated_values_are_convolved_apart() {
    let mut network = Network::default();
    let parts = [16, 32].map(|channels| network.conv("images", [3, channels], 3, 2));
    let both = network.concat(&[&parts[0], &parts[1]], 1);
    let output = network.conv(&both, [48, 16], 1, 1);
    let faster = rewritten(&network.model(&output, &[]));
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
    let both = network.concat(&[&small, &large], 1);
    // Two convolutions of the same, as in YOLOX.
    let ends = [16, 16].map(|channels| network.conv(&both, [40, channels], 1, 1));
    let output = network.node("Mul", &[&ends[0], &ends[1]]).output[0].clone();
    let faster = rewritten(&network.model(&output, &[]));
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
        assert_eq!(faster(&network.model(&output, &[]), RULES), None);
    };
    // Copies that are not two of each.
    stays(|network| {
        let large = network.conv("images", [3, 16], 3, 2);
        let small = network.conv(&large, [16, 16], 3, 2);
        let small = network.double(&small, "ceil");
        let both = network.concat(&[&small, &large], 1);
        let ends = [16, 16].map(|channels| network.conv(&both, [32, channels], 1, 1));
        network.node("Mul", &[&ends[0], &ends[1]]).output[0].clone()
    });
    // A convolution of more than single pixels.
    stays(|network| {
        let parts = [16, 16].map(|channels| network.conv("images", [3, channels], 3, 2));
        let both = network.concat(&[&parts[0], &parts[1]], 1);
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
        network.concat(&[&pools[0], &pools[1]], 1)
    });
    // Values that the graph gives out are needed as they are.
    stays(|network| network.focus([[0, 0], [1, 0], [0, 1], [1, 1]]));
}

#[test]
fn files_with_unknown_parts_stay() {
    let mut network = Network::default();
    let focus = network.focus([[0, 0], [1, 0], [0, 1], [1, 1]]);
    let output = network.conv(&focus, [12, 16], 3, 1);
    let mut model = network.model(&output, &[]);
    assert!(faster(&model, RULES).is_some());
    // Field 25, functions, which call nodes by other names.
    model.extend([0xca, 0x01, 0x00]);
    assert_eq!(faster(&model, RULES), None);
    assert_eq!(faster(b"not a model", RULES), None);
}
