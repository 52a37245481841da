//! Frees a YOLOX graph's height and width, so that it takes pictures of any shape.
//!
//! YOLOX is convolutions from end to end; only its exports fix a size. Where they count the cells of the grids, `Reshape` can
//! count them itself.

use prost::Message;

use super::onnx::{DimensionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// The model that `bytes` hold, with the size of its input and the number of its predictions left open; nothing if it has what
/// we do not know. Whether it then runs, only a run shows.
pub fn free(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut model = ModelProto::known(bytes)?;
    let graph = model.graph.as_mut()?;
    let input = graph.only_input()?;
    let [output] = &mut graph.output[..] else {
        return None;
    };
    open(output, &[(1, "predictions")])?;
    let input = graph.input.iter_mut().find(|value| value.name() == input)?;
    open(input, &[(2, "height"), (3, "width")])?;
    // The sizes inside.
    graph.value_info.clear();
    let shapes: Vec<_> = graph
        .node
        .iter()
        .filter(|node| node.is("Reshape"))
        .filter_map(|node| node.input.get(1).cloned())
        .collect();
    for shape in shapes {
        if let Some(tensor) = constant(graph, &shape) {
            count_cells(tensor);
        }
    }
    Some(model.encode_to_vec())
}

/// Leaves dimensions open, under these names.
fn open(value: &mut ValueInfoProto, dimensions: &[(usize, &str)]) -> Option<()> {
    let tensor = value.r#type.as_mut()?.tensor_type.as_mut()?;
    let shape = &mut tensor.shape.as_mut()?.dim;
    for (at, name) in dimensions {
        *shape.get_mut(*at)? = DimensionProto {
            dim_value: None,
            dim_param: Some((*name).to_owned()),
        };
    }
    Some(())
}

/// Weights, or what a node of the kind `Constant` gives.
fn constant<'a>(graph: &'a mut GraphProto, name: &str) -> Option<&'a mut TensorProto> {
    let is_maker =
        |node: &&mut NodeProto| node.is("Constant") && node.output.iter().any(|output| output == name);
    if let Some(node) = graph.node.iter_mut().find(is_maker) {
        return node
            .attribute
            .iter_mut()
            .find_map(|attribute| attribute.t.as_mut());
    }
    graph.initializer.iter_mut().find(|tensor| tensor.name() == name)
}

/// Of a shape batch × values × cells.
fn count_cells(tensor: &mut TensorProto) {
    if let Some([batch, values, 1..=i64::MAX]) = tensor.int64s().as_deref() {
        // Only one size can be left to count; 0 takes it from what is reshaped.
        let shape = [if *batch < 0 { 0 } else { *batch }, *values, -1];
        tensor.int64_data.clear();
        tensor.raw_data = Some(shape.iter().flat_map(|size| size.to_le_bytes()).collect());
    }
}
