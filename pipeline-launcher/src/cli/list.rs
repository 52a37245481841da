//! `list`: the pipelines that can be asked for, with their parameters.

use sightline_protocol::rpc::ParamInfo;

use crate::config::Folders;
use crate::description::catalogue::Catalogue;

pub fn list(folders: &Folders) -> anyhow::Result<()> {
    let catalogue = Catalogue::open(&folders.pipelines).map_err(anyhow::Error::msg)?;
    for pipeline in catalogue.list().pipelines {
        let kind = serde_json::to_value(pipeline.kind)?;
        println!(
            "{:<20} {:<8} {}",
            pipeline.name,
            kind.as_str().unwrap_or_default(),
            pipeline.summary
        );
        for (name, param) in &pipeline.params {
            println!("    {name}: {}", describe(param)?);
        }
    }
    Ok(())
}

fn describe(param: &ParamInfo) -> anyhow::Result<String> {
    let kind = serde_json::to_value(param.kind)?;
    let mut text = kind.as_str().unwrap_or_default().to_owned();
    if let (Some(min), Some(max)) = (param.min, param.max) {
        text.push_str(&format!(" {min} to {max}"));
    }
    if !param.values.is_empty() {
        text.push_str(&format!(" {}", param.values.join("|")));
    }
    if let Some(default) = &param.default {
        text.push_str(&format!(", default {default}"));
    }
    if !param.doc.is_empty() {
        text.push_str(&format!(": {}", param.doc));
    }
    Ok(text)
}
