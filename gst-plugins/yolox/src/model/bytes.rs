//! Lets a YOLOX graph take its pictures as bytes: a quarter of what travels to a device that has memory of its own.

use prost::Message;

use super::onnx::{AttributeProto, FLOAT, INT, ModelProto, NodeProto, UINT8};

/// What the graph's own nodes take.
const AS_FLOATS: &str = "sightline/floats";

/// The model that `bytes` hold, with bytes for input, which it makes floats of; nothing if it has what we do not know.
pub fn taken(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut model = ModelProto::known(bytes)?;
    let graph = model.graph.as_mut()?;
    let name = graph.only_input()?;
    let input = graph.input.iter_mut().find(|value| value.name() == name)?;
    let tensor = input.r#type.as_mut()?.tensor_type.as_mut()?;
    if tensor.elem_type.replace(UINT8) != Some(FLOAT) {
        return None;
    }
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if *input == name {
            AS_FLOATS.clone_into(input);
        }
    }
    let mut cast = NodeProto::new("Cast", vec![name], AS_FLOATS.to_owned());
    cast.attribute.push(AttributeProto {
        name: Some("to".into()),
        i: Some(FLOAT.into()),
        r#type: Some(INT),
        ..AttributeProto::default()
    });
    graph.node.insert(0, cast);
    Some(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        std::fs::read(models.join(name)).unwrap()
    }

    #[test]
    fn only_the_input_changes() {
        let before = file("blobs.onnx");
        let after = ModelProto::decode(&taken(&before).unwrap()[..]).unwrap();
        let (before, after) = (
            ModelProto::decode(&before[..]).unwrap().graph.unwrap(),
            after.graph.unwrap(),
        );
        assert_eq!(after.inputs()[0].elem_type(), UINT8);
        assert_eq!(after.inputs()[0].dims(), before.inputs()[0].dims());
        assert_eq!(after.node.len(), before.node.len() + 1);
        assert!(after.node[0].is("Cast"));
        let name = before.inputs()[0].name();
        for (before, after) in before.node.iter().zip(&after.node[1..]) {
            let input = before.input.iter();
            let input: Vec<_> = input
                .map(|value| if value == name { AS_FLOATS } else { value })
                .collect();
            assert_eq!(after.input, input);
            assert_eq!((&after.op_type, &after.output), (&before.op_type, &before.output));
        }
    }

    #[test]
    fn what_takes_bytes_already_or_is_no_model_is_left_alone() {
        let bytes = taken(&file("blobs.onnx")).unwrap();
        assert_eq!(taken(&bytes), None);
        assert_eq!(taken(b"no model"), None);
    }
}
