//! A model as yoloxdetect rewrites it for processors, by each rule alone and by all.

use std::path::Path;

use anyhow::Context as _;
use gstyolox::model::rewrite::{RULES, Rule, faster};
use serde_json::{Value, json};

pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [model, folder] = arguments else {
        anyhow::bail!("usage: rewrite MODEL FOLDER");
    };
    let bytes = std::fs::read(model).with_context(|| format!("no model at {model}"))?;
    let alone = RULES.iter().map(|rule| (rule.0, std::slice::from_ref(rule)));
    let mut written = Vec::new();
    for (name, rules) in alone.chain([("all", RULES)]) {
        let rules: &[(&str, Rule)] = rules;
        if let Some(rewritten) = faster(&bytes, rules) {
            let path = Path::new(folder).join(format!("{name}.onnx"));
            std::fs::write(&path, rewritten)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            written.push(name);
        }
    }
    Ok(json!(written))
}
