//! What a YOLOX model's ONNX file says about itself.

use std::fmt;
use std::path::{Path, PathBuf};

use prost::Message;

pub mod bytes;
#[cfg(test)]
pub mod network;
mod onnx;
pub mod rewrite;
pub mod sizes;
#[cfg(test)]
mod tests;

use onnx::{FLOAT, GraphProto, ModelProto, ValueInfoProto};

/// Cells of these sizes in pixels predict one object each; p6 models have a fourth, coarser grid.
const STRIDES: [&[usize]; 2] = [&[8, 16, 32], &[8, 16, 32, 64]];

/// Pixels that an input may have in width and in height.
const SIZES: std::ops::RangeInclusive<usize> = 32..=16384;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("no model at {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{0} is not an ONNX model: {1}")]
    NotOnnx(PathBuf, String),
    #[error("{0} keeps weights in other files; export it as a single file")]
    ExternalData(PathBuf),
    #[error("{path} is not a YOLOX export: {what}; it has {shapes}")]
    NotYolox {
        path: PathBuf,
        what: String,
        shapes: String,
    },
    #[error(
        "{path} takes {batch} frame(s) at a time and `batch-size` is {wanted}: set `batch-size` to {batch}, \
         or export the model with a dynamic batch (YOLOX's tools/export_onnx.py --dynamic)"
    )]
    Batch {
        path: PathBuf,
        batch: usize,
        wanted: usize,
    },
}

/// A shape as people write it: 1×3×416×416, `?` for what is not fixed.
struct Shape<'a>(&'a [Option<usize>]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, size) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "×" } else { "" })?;
            match size {
                Some(size) => write!(f, "{size}")?,
                None => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// A file that may hold a YOLOX model: its input is right, its output perhaps only known when it has run.
#[derive(Debug)]
pub struct Graph {
    path: PathBuf,
    pub input: String,
    pub output: String,
    /// Width and height of the input in pixels.
    pub size: (usize, usize),
    /// Frames that one run takes; `None` if any number.
    pub batch: Option<usize>,
    /// Dimensions of the output.
    output_dims: Vec<Option<usize>>,
    decoded: bool,
    metadata: Vec<(String, String)>,
    /// Inputs and outputs, for people.
    shapes: String,
}

impl Graph {
    /// Reads a file; its bytes come back too, so that what was checked is what is loaded.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok((Self::parse(&bytes, path)?, bytes))
    }

    /// What the bytes of the file at `path` say.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, ModelError> {
        let not_onnx = |why: &dyn fmt::Display| ModelError::NotOnnx(path.to_owned(), why.to_string());
        let file = ModelProto::decode(bytes).map_err(|error| not_onnx(&error))?;
        let graph = file.graph.ok_or_else(|| not_onnx(&"it has no graph"))?;
        if graph
            .initializer
            .iter()
            .any(|weights| weights.data_location() != 0)
        {
            return Err(ModelError::ExternalData(path.to_owned()));
        }
        let inputs = graph.inputs();
        let shapes = format!("{} → {}", describe(&inputs), describe(&graph.output));
        let not_yolox = |what| ModelError::NotYolox {
            path: path.to_owned(),
            what,
            shapes: shapes.clone(),
        };
        let (input, output) = graph.ends(&inputs).map_err(not_yolox)?;
        let (batch, size) = input_size(input).map_err(not_yolox)?;
        let metadata = file.metadata_props.into_iter();
        let graph = Self {
            path: path.to_owned(),
            input: input.name().to_owned(),
            output: output.name().to_owned(),
            size,
            batch,
            output_dims: output.dims(),
            // Sizes are predicted as logarithms, and nothing else in YOLOX needs an exponential.
            decoded: graph.node.iter().any(|node| node.op_type() == "Exp"),
            metadata: metadata
                .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
                .collect(),
            shapes: shapes.clone(),
        };
        // What is known to be wrong need not be loaded first.
        if !graph.is_open() || graph.output_dims.len() != 3 {
            graph.predictions(&graph.output_dims).map_err(not_yolox)?;
        }
        Ok(graph)
    }

    /// Whether the number of predictions or their length is only known when the model has run.
    pub fn is_open(&self) -> bool {
        self.output_dims.iter().skip(1).any(Option::is_none)
    }

    /// Whether the graph itself turns grid offsets into boxes in pixels, for the one size that it knows.
    pub fn is_decoded(&self) -> bool {
        self.decoded
    }

    /// Whether a batch of `size` frames fits.
    pub fn check_batch(&self, size: usize) -> Result<(), ModelError> {
        match self.batch {
            Some(batch) if batch != size => Err(ModelError::Batch {
                path: self.path.clone(),
                batch,
                wanted: size,
            }),
            _ => Ok(()),
        }
    }

    /// The model's facts; `ran` are the dimensions of the output of a run, if there was one.
    pub fn model(&self, ran: Option<&[usize]>) -> Result<Model, ModelError> {
        let ran: Option<Vec<_>> = ran.map(|dims| dims.iter().copied().map(Some).collect());
        let dims = ran.as_deref().unwrap_or(&self.output_dims);
        let found = self.predictions(dims);
        let (anchors, classes, strides) = found.map_err(|what| ModelError::NotYolox {
            path: self.path.clone(),
            what,
            shapes: self.shapes.clone(),
        })?;
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Model {
            name: name.into_owned(),
            size: self.size,
            batch: self.batch,
            anchors,
            classes,
            strides,
            decoded: self.decoded,
            is_free: false,
            metadata: self.metadata.clone(),
        })
    }

    /// Number of predictions, classes and strides of an output of these dimensions.
    fn predictions(&self, dims: &[Option<usize>]) -> Result<(usize, usize, &'static [usize]), String> {
        if let [_, Some(anchors), Some(values @ 6..)] = *dims {
            let fits = |strides: &&&[usize]| cells(strides, self.size) == anchors;
            if let Some(strides) = STRIDES.iter().find(fits) {
                return Ok((anchors, values - 5, strides));
            }
        }
        let [p5, p6] = STRIDES.map(|strides| cells(strides, self.size));
        let ((width, height), shape) = (self.size, Shape(dims));
        Err(format!(
            "output is {shape}; expected 1×N×(5+classes) with N = {p5} (p6: {p6}) for the {width}×{height} input"
        ))
    }
}

/// The facts that pre- and post-processing need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The file's name without its extension.
    pub name: String,
    /// Width and height of the input in pixels.
    pub size: (usize, usize),
    /// Frames that one run takes; `None` if any number.
    pub batch: Option<usize>,
    /// Number of predictions for each frame.
    pub anchors: usize,
    pub classes: usize,
    pub strides: &'static [usize],
    /// Whether the graph itself turns grid offsets into boxes in pixels.
    pub decoded: bool,
    /// Whether `size` is only the largest input that it takes.
    pub is_free: bool,
    pub metadata: Vec<(String, String)>,
}

impl Model {
    /// Width and height of the input for a picture of this width and height: the smallest that holds it as large as `size` does.
    pub fn input_for(&self, picture: (usize, usize)) -> (usize, usize) {
        let (width, height) = self.size;
        let cell = self.strides.last().copied().unwrap_or(1);
        // The demo's `ratio` as a fraction, which rounds nothing.
        let fit = |side: usize, most: usize, of: usize, by: usize| {
            (side * most).div_ceil(of).next_multiple_of(cell).min(by)
        };
        if !self.is_free {
            self.size
        } else if width * picture.1 <= height * picture.0 {
            (width, fit(picture.1, width, picture.0, height))
        } else {
            (fit(picture.0, height, picture.1, width), height)
        }
    }

    /// Number of predictions for an input of `size`.
    pub fn predictions(&self, size: (usize, usize)) -> usize {
        cells(self.strides, size)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        let batch = Shape(&[self.batch]).to_string().replace('?', "any");
        let decoded = if self.decoded {
            "decoded in the graph"
        } else {
            "decoded by the element"
        };
        write!(
            f,
            "input {}{width}×{height}, batch {batch}, {} classes, {} predictions on strides {:?} {decoded}, metadata {:?}",
            if self.is_free { "up to " } else { "" },
            self.classes,
            self.anchors,
            self.strides,
            self.metadata
        )
    }
}

/// Number of grid cells of all strides over an input of `size`.
fn cells(strides: &[usize], (width, height): (usize, usize)) -> usize {
    strides
        .iter()
        .map(|stride| (width / stride) * (height / stride))
        .sum()
}

/// Batch, and width and height in pixels.
fn input_size(input: &ValueInfoProto) -> Result<(Option<usize>, (usize, usize)), String> {
    let dims = input.dims();
    match dims[..] {
        [batch, Some(3), Some(height), Some(width)] if SIZES.contains(&height) && SIZES.contains(&width) => {
            Ok((batch, (width, height)))
        }
        _ => Err(format!(
            "input is {}; expected 1×3×H×W with a fixed height and width of {} to {} pixels",
            Shape(&dims),
            SIZES.start(),
            SIZES.end()
        )),
    }
}

fn describe(values: &[impl std::borrow::Borrow<ValueInfoProto>]) -> String {
    let name = |value: &ValueInfoProto| format!("`{}` {}", value.name(), Shape(&value.dims()));
    let names: Vec<_> = values.iter().map(|value| name(value.borrow())).collect();
    match names.len() {
        0 => "nothing".into(),
        1..=4 => names.join(", "),
        count => format!("{}, … ({count} in all)", names[..4].join(", ")),
    }
}

impl GraphProto {
    fn inputs(&self) -> Vec<&ValueInfoProto> {
        // Old exporters list the weights among the inputs.
        let is_weight = |input: &&ValueInfoProto| {
            self.initializer
                .iter()
                .any(|weights| weights.name() == input.name())
        };
        self.input.iter().filter(|input| !is_weight(input)).collect()
    }

    /// The name of the only input.
    fn only_input(&self) -> Option<String> {
        match self.inputs()[..] {
            [input] => Some(input.name().to_owned()),
            _ => None,
        }
    }

    /// The only input and the only output.
    fn ends<'a>(
        &'a self,
        inputs: &[&'a ValueInfoProto],
    ) -> Result<(&'a ValueInfoProto, &'a ValueInfoProto), String> {
        let ([input], [output]) = (inputs, &self.output[..]) else {
            let (inputs, outputs) = (inputs.len(), self.output.len());
            return Err(format!(
                "it has {inputs} inputs and {outputs} outputs; expected one of each"
            ));
        };
        match [*input, output]
            .into_iter()
            .find(|value| value.elem_type() != FLOAT)
        {
            Some(value) => Err(format!("`{}` does not hold 32-bit floats", value.name())),
            None => Ok((*input, output)),
        }
    }
}
