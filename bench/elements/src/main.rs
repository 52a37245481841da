//! Times functions inside the elements: `sightline-bench WHAT ARGUMENTS…`. `run.py` judges the figures, in turn
//! with those of the alternatives.

use anyhow::{Context as _, bail};

mod entries;
mod jpeg;
mod overlay;
mod postprocess;
mod preprocess;
mod rewrite;
mod timing;

/// What to measure, its arguments, and the function that does and returns the result as JSON.
type Measurement = (
    &'static str,
    &'static str,
    fn(&[String]) -> anyhow::Result<serde_json::Value>,
);

const MEASUREMENTS: &[Measurement] = &[
    (
        "preprocess",
        "FORMAT WIDTH HEIGHT FRAME [TENSOR]",
        preprocess::measure,
    ),
    ("postprocess", "OUTPUT WIDTH HEIGHT", postprocess::measure),
    ("overlay", "FORMAT WIDTH HEIGHT", overlay::measure),
    ("entries", "frame|prediction", entries::measure),
    ("jpeg", "WIDTH HEIGHT FRAME [JPEG]", jpeg::measure),
    ("rewrite", "MODEL FOLDER", rewrite::measure),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((what, arguments)) = arguments.split_first() else {
        bail!("say what to measure:\n{}", usage());
    };
    let (_, _, measure) = MEASUREMENTS
        .iter()
        .find(|(name, ..)| name == what)
        .with_context(|| format!("there is no measurement {what:?}; there are:\n{}", usage()))?;
    println!("{}", measure(arguments)?);
    Ok(())
}

fn usage() -> String {
    let lines = MEASUREMENTS
        .iter()
        .map(|(name, arguments, _)| format!("  {name} {arguments}"));
    lines.collect::<Vec<_>>().join("\n")
}
