//! `list`: the pipelines that can be asked for, with their parameters.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use sightline_protocol::rpc::{ParamInfo, PipelineInfo, PipelineList};

use crate::config::Folders;
use crate::description::catalogue::{self, Catalogue, RefusedFile};
use crate::description::judge::judge;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// As JSON, for programs
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub folders: Folders,
}

pub fn list(args: &ListArgs) -> anyhow::Result<()> {
    crate::plugins::init()?;
    let texts = catalogue::read(&args.folders.pipelines).map_err(anyhow::Error::msg)?;
    let files: Vec<_> = texts.keys().cloned().collect();
    let verdicts = judge(&files);
    let catalogue = Catalogue::default();
    catalogue.take(texts, files.into_iter().zip(verdicts).collect());
    let listing = Listing::of(&catalogue);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&listing)?);
    } else {
        print!("{}", table(&listing.list.pipelines)?);
        for RefusedFile { file, problems, .. } in &listing.refused {
            for problem in problems {
                eprintln!("{}", problem.render(Path::new(file)));
            }
        }
    }
    Ok(())
}

/// What can be asked for, and which files cannot be used as they are.
#[derive(Debug, Serialize)]
pub struct Listing {
    #[serde(flatten)]
    list: PipelineList,
    refused: Vec<RefusedFile>,
}

impl Listing {
    pub fn of(catalogue: &Catalogue) -> Self {
        Self {
            list: catalogue.list(),
            refused: catalogue.refused(),
        }
    }
}

/// A line for each pipeline, and one below it for each of its parameters.
fn table(pipelines: &[PipelineInfo]) -> anyhow::Result<String> {
    let mut text = String::new();
    let widest = width(pipelines.iter().map(|pipeline| pipeline.name.as_str()));
    for pipeline in pipelines {
        let kind = word(&pipeline.kind)?;
        writeln!(text, "{:widest$}  {kind:7}  {}", pipeline.name, pipeline.summary)?;
        let params = &pipeline.params;
        let rows = params
            .iter()
            .map(|(name, param)| Ok((name, values(param)?, default(param), &param.doc)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let names = width(rows.iter().map(|(name, ..)| name.as_str()));
        let kinds = width(rows.iter().map(|(_, kind, ..)| kind.as_str()));
        let defaults = width(rows.iter().map(|(_, _, default, _)| default.as_str()));
        for (name, kind, default, doc) in &rows {
            let row = format!("    {name:names$}  {kind:kinds$}  {default:defaults$}  {doc}");
            writeln!(text, "{}", row.trim_end())?;
        }
    }
    Ok(text)
}

fn width<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

/// An enum's word, as files have it.
fn word(value: &impl Serialize) -> anyhow::Result<String> {
    let value = serde_json::to_value(value)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

/// `integer 1 to 60`, `fast|good`
fn values(param: &ParamInfo) -> anyhow::Result<String> {
    if !param.values.is_empty() {
        return Ok(param.values.join("|"));
    }
    let kind = word(&param.kind)?;
    Ok(match (param.min, param.max) {
        (Some(min), Some(max)) => format!("{kind} {min} to {max}"),
        (Some(min), None) => format!("{kind} from {min}"),
        (None, Some(max)) => format!("{kind} to {max}"),
        (None, None) => kind,
    })
}

fn default(param: &ParamInfo) -> String {
    let default = param.default.as_ref();
    default.map_or_else(String::new, |default| format!("default {default}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let parse = |source: &str| crate::description::parse(source).0.unwrap().info();
        let one = parse(
            "schema = 1\nname = \"one\"\nkind = \"source\"\nsummary = \"First\"\n\
             [params.fps]\ntype = \"integer\"\ndefault = 30\nmin = 1\nmax = 60\ndoc = \"frames a second\"\n\
             [params.quality]\ntype = \"enum\"\nvalues = [\"fast\", \"good\"]\n\
             [pipeline]\nlaunch = \"a {fps} {quality}\"\n",
        );
        let two = parse(
            "schema = 1\nname = \"second\"\nkind = \"worker\"\nsummary = \"Next\"\n[pipeline]\nlaunch = \"a\"\n",
        );
        assert_eq!(
            table(&[one, two]).unwrap(),
            "one     source   First\n    \
                 fps      integer 1 to 60  default 30  frames a second\n    \
                 quality  fast|good\n\
             second  worker   Next\n"
        );
    }
}
