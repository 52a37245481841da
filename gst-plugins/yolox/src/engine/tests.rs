use ort::memory::AllocationDevice;

use super::*;

#[test]
fn an_output_must_hold_every_frame() {
    assert!(holds(&[2, 2100, 8], 2, [2100, 8]));
    assert!(
        holds(&[2, 2100, 8], 1, [2100, 8]),
        "the last rows of a fixed batch may be empty"
    );
    assert!(!holds(&[1, 2100, 8], 2, [2100, 8]));
    assert!(!holds(&[2, 2100, 9], 2, [2100, 8]));
    assert!(!holds(&[2, 16800], 2, [2100, 8]));
    assert!(!holds(&[-1, 2, 2100, 8], 3, [2100, 8]));
}

fn options(shape: InputShape, batch: usize) -> Options {
    Options {
        provider: Provider::Cpu,
        device: 0,
        threads: 1,
        batch,
        shape,
        normalisation: Normalisation::None,
    }
}

fn graph(bytes: &[u8]) -> Graph {
    Graph::parse(bytes, std::path::Path::new("head.onnx")).unwrap()
}

fn loaded(bytes: &[u8], shape: InputShape) -> (Engine, Model) {
    let loaded = load(&graph(bytes), bytes, &options(shape, 1)).unwrap();
    let Loaded {
        mut engines, model, ..
    } = loaded;
    (engines.remove(0), model)
}

/// What the model says of a picture with `height` rows that are not grey.
fn predicted(engine: &mut Engine, size: (usize, usize), height: usize) -> Vec<f32> {
    let mut input = floats(size).unwrap();
    for (at, value) in input.extract_tensor_mut().1.iter_mut().enumerate() {
        let (x, y) = (at % size.0, at / size.0 % size.1);
        *value = if y < height { (x * y % 251) as f32 } else { 114.0 };
    }
    found(engine, Row::Floats(input))
}

fn found(engine: &mut Engine, row: Row) -> Vec<f32> {
    engine.run(&[row]).unwrap().row(0).unwrap().to_vec()
}

/// A blue square on grey, `step` cells to the right.
fn blue(size: (usize, usize), step: usize) -> Vec<u8> {
    let sample = |at: usize| {
        let (x, y, plane) = (at % size.0, at / size.0 % size.1, at / (size.0 * size.1));
        let is_inside = (32 * step..32 * step + 64).contains(&x) && (64..128).contains(&y);
        if is_inside {
            if plane == 0 { 255 } else { 0 }
        } else {
            114
        }
    };
    (0..PLANES * size.0 * size.1).map(sample).collect()
}

fn model_file(name: &str) -> Vec<u8> {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    std::fs::read(models.join(name)).unwrap()
}

/// As on a device, whose memory is that of the host.
fn lanes(bytes: &[u8], batch: usize, count: usize, records: bool) -> Result<Vec<Lane>, EngineError> {
    let (graph, taken) = (graph(bytes), bytes::taken(bytes).unwrap());
    let setup = device::Setup {
        session: open_on(Provider::Cpu, &taken, &options(InputShape::Model, batch), false)?,
        input: graph.input,
        output: graph.output,
        size: graph.size,
        batches: device::batches(batch, graph.batch),
        memory: Memory {
            host: AllocationDevice::CPU,
            device: AllocationDevice::CPU,
            id: 0,
        },
        records,
    };
    Ok(device::start(setup, count)?.0)
}

#[test]
fn a_device_finds_in_each_frame_of_a_batch_what_is_found_in_it_alone() {
    let bytes = model_file("blobs_dynamic.onnx");
    let (mut alone, model) = loaded(&bytes, InputShape::Model);
    let size = model.size;
    let of_floats = |step| {
        let mut input = floats(size).unwrap();
        let values = input.extract_tensor_mut().1.iter_mut();
        for (value, byte) in values.zip(blue(size, step)) {
            *value = byte.into();
        }
        Row::Floats(input)
    };
    let expected: Vec<_> = (0..5).map(|step| found(&mut alone, of_floats(step))).collect();
    assert_ne!(expected[0], expected[1]);
    for records in [true, false] {
        let mut lanes = lanes(&bytes, 5, 2, records).unwrap();
        // One, four and five are sizes of a batch.
        for (turn, frames) in [1, 2, 3, 4, 5, 2].into_iter().enumerate() {
            let way = Way::Device(lanes.remove(0));
            let mut engine = Engine {
                way,
                model: model.clone(),
            };
            let rows: Vec<_> = (0..frames).map(|step| Row::Bytes(blue(size, step))).collect();
            let output = engine.run(&rows).unwrap();
            for (frame, expected) in expected[..frames].iter().enumerate() {
                assert_eq!(
                    output.row(frame).unwrap(),
                    expected,
                    "{frame} of {frames}, turn {turn}"
                );
            }
            if let Way::Device(lane) = engine.way {
                lanes.push(lane);
            }
        }
    }
}

#[test]
fn what_a_device_found_stays_while_the_next_batch_runs() {
    let bytes = model_file("blobs_dynamic.onnx");
    let mut lanes = lanes(&bytes, 1, 1, true).unwrap();
    let (first, second) = (blue((320, 320), 0), blue((320, 320), 5));
    let held = lanes[0].run(&[&first]).unwrap();
    let before = held.values().unwrap().1.to_vec();
    let other = lanes[0].run(&[&second]).unwrap().values().unwrap().1.to_vec();
    assert_ne!(before, other);
    assert_eq!(held.values().unwrap().1, before);
    drop(held);
    assert_eq!(lanes[0].run(&[&first]).unwrap().values().unwrap().1, before);
}

#[test]
fn more_than_a_device_was_made_for_is_an_error() {
    let bytes = model_file("blobs_dynamic.onnx");
    let mut lanes = lanes(&bytes, 2, 1, true).unwrap();
    let row = blue((320, 320), 0);
    assert!(lanes[0].run(&[&row, &row, &row]).is_err());
    assert!(lanes[0].run(&[&row, &row]).is_ok(), "and harms nothing");
}

#[test]
fn batches_of_a_device_have_a_few_sizes() {
    assert_eq!(device::batches(1, None), [1]);
    assert_eq!(device::batches(4, None), [1, 4]);
    assert_eq!(device::batches(64, None), [1, 4, 16, 64]);
    assert_eq!(device::batches(20, None), [1, 4, 16, 20]);
    assert_eq!(device::batches(8, Some(8)), [8]);
}

#[test]
fn a_picture_of_any_shape_is_inferred_without_its_padding() {
    let head = crate::model::network::head();
    let (mut whole, model) = loaded(&head, InputShape::Model);
    assert_eq!(model.input_for((640, 270)), (64, 64));
    let (mut free, model) = loaded(&head, InputShape::Picture);
    assert_eq!(model.input_for((640, 270)), (64, 32));
    assert_eq!(model.input_for((270, 640)), (32, 64));
    let (before, after) = (
        predicted(&mut whole, (64, 64), 27),
        predicted(&mut free, (64, 32), 27),
    );
    // 8 × 4 cells of stride 8, 4 × 2 of 16, 2 × 1 of 32: the first half of each grid.
    let grids = [(0, 32), (64, 8), (80, 2)];
    let upper = grids
        .map(|(first, cells)| &before[first * 7..][..cells * 7])
        .concat();
    assert_eq!(upper, after);
    assert_eq!(predicted(&mut free, (32, 64), 64).len(), 42 * 7);
    assert_eq!(predicted(&mut free, (64, 64), 27), before);
}

#[test]
fn a_model_that_knows_its_size_keeps_it() {
    for name in ["blobs.onnx", "blobs_decoded.onnx", "blobs_p6.onnx"] {
        let bytes = model_file(name);
        let (mut engine, model) = loaded(&bytes, InputShape::Picture);
        assert_eq!(
            (model.is_free, model.input_for((640, 100))),
            (false, model.size),
            "{name}"
        );
        assert_eq!(
            predicted(&mut engine, model.size, 9).len(),
            model.anchors * (5 + model.classes)
        );
    }
}
