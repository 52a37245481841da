//! Rewrites a YOLOX graph so that processors run it faster and it gives the same.
//!
//! Every rewrite is an identity of real numbers; only the order of sums changes, so that results differ by the
//! rounding of 32-bit floats. What a graph does not have is passed over.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::onnx::{FLOAT, GraphProto, ModelProto, NodeProto, TensorProto};

#[cfg(test)]
mod tests;

/// ONNX Runtime keeps channels in blocks of at most this many; a smaller part of a block costs as much as a whole one.
const BLOCK: usize = 16;

/// Values that a number of channels is looked for through.
const MAX_DEPTH: usize = 8;

/// Changes one place of a graph where it applies; nothing if there is none.
pub type Rule = fn(&mut Editor) -> Option<()>;

pub const RULES: &[(&str, Rule)] = &[
    ("fold_focus", fold_focus),
    ("chain_pools", chain_pools),
    ("split_concat", split_concat),
];

/// The model that `bytes` hold, rewritten; nothing if there is nothing to gain, or if it has what we do not know.
pub fn faster(bytes: &[u8], rules: &[(&str, Rule)]) -> Option<Vec<u8>> {
    let mut model = ModelProto::known(bytes)?;
    let mut editor = Editor::new(model.graph.take()?);
    let mut changes = 0;
    for (_, rule) in rules {
        // A place that was changed is not fit for the same rule: there are fewer changes than bytes.
        while changes < bytes.len() && rule(&mut editor).is_some() {
            editor.find_makers();
            changes += 1;
        }
    }
    model.graph = Some(editor.finish());
    (changes > 0).then(|| model.encode_to_vec())
}

/// A graph that can be searched and changed.
pub struct Editor {
    graph: GraphProto,
    /// Which node makes a value.
    makers: HashMap<String, usize>,
    /// Number of values made here.
    made: usize,
}

/// Weights of a convolution, and their sizes.
type Weights = (Vec<f32>, [usize; 4]);

impl Editor {
    fn new(mut graph: GraphProto) -> Self {
        // Shapes of values that may soon be others.
        graph.value_info.clear();
        let makers = HashMap::new();
        let mut editor = Self {
            graph,
            makers,
            made: 0,
        };
        editor.find_makers();
        editor
    }

    fn find_makers(&mut self) {
        let nodes = self.graph.node.iter().enumerate();
        let outputs =
            nodes.flat_map(|(index, node)| node.output.iter().map(move |output| (output.clone(), index)));
        self.makers = outputs.collect();
    }

    /// Without nodes and weights that nothing uses any more.
    fn finish(mut self) -> GraphProto {
        let graph = &mut self.graph;
        let mut used: HashSet<String> = graph
            .output
            .iter()
            .map(|output| output.name().to_owned())
            .collect();
        // What makes a value comes before what takes it.
        let mut kept: Vec<_> = std::mem::take(&mut graph.node).into_iter().rev().collect();
        kept.retain(|node| {
            let is_used = node.output.iter().any(|output| used.contains(output));
            if is_used {
                used.extend(node.input.iter().cloned());
            }
            is_used
        });
        graph.node = kept.into_iter().rev().collect();
        let weights: HashSet<_> = graph
            .initializer
            .iter()
            .map(|weights| weights.name().to_owned())
            .collect();
        graph
            .input
            .retain(|input| used.contains(input.name()) || !weights.contains(input.name()));
        graph.initializer.retain(|weights| used.contains(weights.name()));
        self.graph
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("sightline/{}", self.made)
    }

    fn nodes(&self, op_type: &str) -> impl Iterator<Item = (usize, &NodeProto)> {
        self.graph
            .node
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.is(op_type))
    }

    fn maker(&self, value: &str) -> Option<&NodeProto> {
        self.graph.node.get(*self.makers.get(value)?)
    }

    /// Which nodes take a value; none if the graph gives it out.
    fn takers(&self, value: &str) -> Vec<usize> {
        if self.graph.output.iter().any(|output| output.name() == value) {
            return Vec::new();
        }
        let takes = |node: &NodeProto| node.input.iter().any(|input| input == value);
        let nodes = self.graph.node.iter().enumerate();
        nodes
            .filter(|(_, node)| takes(node))
            .map(|(index, _)| index)
            .collect()
    }

    /// What a value always is.
    fn constant(&self, value: &str) -> Option<&TensorProto> {
        let weights = self
            .graph
            .initializer
            .iter()
            .find(|weights| weights.name() == value);
        weights.or_else(|| {
            let node = self.maker(value).filter(|node| node.is("Constant"))?;
            node.attribute("value")?.t.as_ref()
        })
    }

    /// A single whole number.
    fn number(&self, value: &str) -> Option<i64> {
        match self.constant(value)?.int64s()?[..] {
            [number] => Some(number),
            _ => None,
        }
    }

    /// Output channels, input channels (of a group), height and width of a convolution's constant weights.
    fn sizes(&self, conv: &NodeProto) -> Option<[usize; 4]> {
        let dims = &self.constant(conv.input.get(1)?)?.dims;
        let sizes: Vec<_> = dims
            .iter()
            .filter_map(|size| usize::try_from(*size).ok())
            .collect();
        sizes.try_into().ok()
    }

    fn weights(&self, conv: &NodeProto) -> Option<Weights> {
        let values = self.constant(conv.input.get(1)?)?.floats();
        Some((values.filter(|values| !values.is_empty())?, self.sizes(conv)?))
    }

    fn add_weights(&mut self, (values, sizes): Weights) -> String {
        let name = self.name();
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            data_type: Some(FLOAT),
            dims: sizes
                .iter()
                .filter_map(|size| i64::try_from(*size).ok())
                .collect(),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            ..TensorProto::default()
        });
        name
    }

    /// Number of channels of a value.
    fn channels(&self, value: &str) -> Option<usize> {
        self.channels_within(value, MAX_DEPTH)
    }

    fn channels_within(&self, value: &str, depth: usize) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        let node = self.maker(value)?;
        match node.op_type() {
            "Conv" => Some(self.sizes(node)?[0]),
            "Concat" if node.input.len() <= 4 => {
                let parts = node.input.iter().map(|part| self.channels_within(part, depth));
                parts.sum()
            }
            "Sigmoid" | "Mul" | "Add" | "MaxPool" | "Resize" | "Upsample" | "Relu" | "LeakyRelu" => {
                self.channels_within(node.input.first()?, depth)
            }
            _ => None,
        }
    }

    /// Whether a node is a convolution of single pixels.
    fn is_pointwise(&self, node: &NodeProto) -> bool {
        is_plain(node)
            && self.sizes(node).is_some_and(|sizes| sizes[2..] == [1, 1])
            && node.ints("strides").iter().all(|stride| *stride == 1)
            && node.ints("pads").iter().all(|pad| *pad == 0)
    }
}

/// Whether a node is a convolution without groups and dilation, whose padding is written down.
fn is_plain(node: &NodeProto) -> bool {
    node.is("Conv")
        && node.attribute("group").is_none_or(|group| group.i() == 1)
        && node.attribute("auto_pad").is_none_or(|pad| pad.s() == b"NOTSET")
        && node.ints("dilations").iter().all(|dilation| *dilation == 1)
}

/// Row and column at which every second pixel of a value is taken by a chain of slices, and that value.
fn phase<'a>(editor: &'a Editor, mut value: &'a str) -> Option<([usize; 2], &'a str)> {
    let mut start = [None; 2];
    while start.contains(&None) {
        let node = editor.maker(value).filter(|node| node.is("Slice"))?;
        let [source, first, last, axis, step] = &node.input[..] else {
            return None;
        };
        let axis = usize::try_from(editor.number(axis)?.checked_sub(2)?).ok()?;
        let first = usize::try_from(editor.number(first)?)
            .ok()
            .filter(|first| *first < 2)?;
        let to_the_end = editor.number(last)? >= i64::from(i32::MAX);
        let place = start.get_mut(axis)?;
        if place.is_some() || !to_the_end || editor.number(step)? != 2 {
            return None;
        }
        *place = Some(first);
        value = source;
    }
    Some(([start[0]?, start[1]?], value))
}

/// YOLOX puts each 2×2 block of pixels into channels and convolves that: the same as a wider kernel with stride 2.
fn fold_focus(editor: &mut Editor) -> Option<()> {
    let (index, conv) = editor.nodes("Concat").find_map(|(_, concat)| {
        let [index] = editor.takers(concat.output.first()?)[..] else {
            return None;
        };
        let phases: Option<Vec<_>> = concat.input.iter().map(|part| phase(editor, part)).collect();
        let phases =
            phases.filter(|phases| phases.len() == 4 && phases.iter().all(|phase| phase.1 == phases[0].1))?;
        let mut conv = editor.graph.node.get(index)?.clone();
        let (values, sizes) = editor.weights(&conv)?;
        let [out, channels, height, width] = sizes;
        let pads: Option<Vec<_>> = conv.ints("pads").iter().map(|pad| pad.checked_mul(2)).collect();
        let pads = pads.filter(|pads| pads.len() == 4)?;
        let is_fit = is_plain(&conv) && conv.ints("strides").iter().all(|stride| *stride == 1);
        if !is_fit || conv.input[0] != concat.output[0] || channels % 4 != 0 {
            return None;
        }
        let colours = channels / 4;
        let mut wide = vec![0.0; values.len()];
        for (place, value) in values.into_iter().enumerate() {
            let (x, y) = (place % width, place / width % height);
            let (channel, filter) = (
                place / (width * height) % channels,
                place / (width * height * channels),
            );
            let ([row, column], _) = phases[channel / colours];
            let plane = filter * colours + channel % colours;
            wide[(plane * 2 * height + 2 * y + row) * 2 * width + 2 * x + column] = value;
        }
        conv.input[0] = phases[0].1.to_owned();
        conv.set_ints(
            "kernel_shape",
            &[2 * i64::try_from(height).ok()?, 2 * i64::try_from(width).ok()?],
        );
        conv.set_ints("strides", &[2, 2]);
        conv.set_ints("pads", &pads);
        Some((index, (conv, (wide, [out, colours, 2 * height, 2 * width]))))
    })?;
    let (mut conv, wide) = conv;
    conv.input[1] = editor.add_weights(wide);
    editor.graph.node[index] = conv;
    Some(())
}

/// Size of the window of a pool that keeps the size of the picture, and treats both directions alike.
fn window(pool: &NodeProto) -> Option<i64> {
    let [size, width] = *pool.ints("kernel_shape") else {
        return None;
    };
    let is_one = |values: &[i64]| values.iter().all(|value| *value == 1);
    let keeps_size = size % 2 == 1 && pool.ints("pads") == [size / 2; 4] && is_one(pool.ints("strides"));
    (size == width && keeps_size && is_one(pool.ints("dilations")) && pool.output.len() == 1).then_some(size)
}

/// Of two pools over one value, the larger is a small one over the result of the smaller.
fn chain_pools(editor: &mut Editor) -> Option<()> {
    let pools = || {
        editor
            .nodes("MaxPool")
            .filter_map(|(index, pool)| Some((window(pool)?, index, pool)))
    };
    let (index, source, rest) = pools().find_map(|(size, index, pool)| {
        let same_source = |other: &(i64, usize, &NodeProto)| other.2.input == pool.input;
        if pools().filter(same_source).any(|(other, ..)| other > size) {
            return None;
        }
        // Made before it, as the format wants it.
        let smaller = pools()
            .filter(same_source)
            .filter(|other| other.0 < size && other.1 < index);
        let (smaller, _, source) = smaller.max_by_key(|other| other.0)?;
        Some((index, source.output.first()?.clone(), size - smaller + 1))
    })?;
    let pool = &mut editor.graph.node[index];
    pool.input[0] = source;
    pool.set_ints("kernel_shape", &[rest; 2]);
    pool.set_ints("pads", &[rest / 2; 4]);
    Some(())
}

/// What a node copies to twice the width and height.
fn doubled<'a>(editor: &'a Editor, value: &str) -> Option<&'a NodeProto> {
    let node = editor.maker(value)?;
    let scales = match node.op_type() {
        "Resize" => node.input.get(2),
        "Upsample" => node.input.get(1),
        _ => None,
    }?;
    let is_nearest = node.attribute("mode").is_none_or(|mode| mode.s() == b"nearest");
    // The ways to round that make each pixel two.
    let is_even = |name, ways: &[&[u8]]| node.attribute(name).is_some_and(|way| ways.contains(&way.s()));
    let copies = node.is("Upsample")
        || is_even("coordinate_transformation_mode", &[b"asymmetric"])
            && is_even("nearest_mode", &[b"floor"]);
    let scales = editor.constant(scales)?.floats()?;
    (is_nearest && copies && scales == [1.0, 1.0, 2.0, 2.0]).then_some(node)
}

/// A convolution of single pixels of two concatenated values is the sum of one of each, which need not be copied
/// together; and of a value that was copied to twice the size it can be done before, on a quarter of the pixels.
fn split_concat(editor: &mut Editor) -> Option<()> {
    let (index, parts, at) = editor.nodes("Concat").find_map(|(_, concat)| {
        let ([_, _], [axis]) = (&concat.input[..], &concat.attribute[..]) else {
            return None;
        };
        let takers = editor.takers(concat.output.first()?);
        let index = *takers.first()?;
        let mut takes = takers.iter().map(|taker| &editor.graph.node[*taker]);
        let all_fit = takes.all(|node| editor.is_pointwise(node) && node.input[0] == concat.output[0]);
        let at = editor.channels(&concat.input[0])?;
        let all = editor.weights(&editor.graph.node[index])?.1[1];
        let is_cheap = takers.len() == 1 && at % BLOCK == 0 && all % BLOCK == 0;
        let has_doubled = doubled(editor, &concat.input[0]).is_some();
        (axis.i() == 1 && all_fit && at < all && (is_cheap || has_doubled))
            .then(|| (index, concat.input.clone(), at))
    })?;
    let conv = editor.graph.node[index].clone();
    let [first, second] = halves(editor.weights(&conv)?, at);
    let double = doubled(editor, &parts[0]).cloned();
    let source = double.as_ref().map_or(&parts[0], |double| &double.input[0]);
    let mut nodes = Vec::new();
    let mut add = |editor: &mut Editor, mut node: NodeProto| {
        let name = editor.name();
        node.name = None;
        node.output = vec![name.clone()];
        nodes.push(node);
        name
    };
    let mut small = conv.clone();
    small.input = vec![source.clone(), editor.add_weights(first)];
    let mut value = add(editor, small);
    if let Some(mut double) = double {
        double.input[0] = value;
        value = add(editor, double);
    }
    let mut large = conv.clone();
    large.input[0].clone_from(&parts[1]);
    large.input[1] = editor.add_weights(second);
    let large = add(editor, large);
    nodes.push(NodeProto::new("Add", vec![large, value], conv.output[0].clone()));
    editor.graph.node.splice(index..=index, nodes);
    Some(())
}

/// Weights for the input channels before `at`, and for the others.
fn halves((values, [out, channels, height, width]): Weights, at: usize) -> [Weights; 2] {
    let (plane, row) = (height * width, channels * height * width);
    let cut = |from: usize, to: usize| {
        let rows = values
            .chunks_exact(row)
            .flat_map(|row| &row[from * plane..to * plane]);
        (rows.copied().collect(), [out, to - from, height, width])
    };
    [cut(0, at), cut(at, channels)]
}
