//! `check`: says everything that is wrong with pipeline files, without Redis, GPU or network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::description::{self, Description, Problem, Severity, catalogue, installed};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, or folders of *.toml files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Let warnings fail too
    #[arg(long)]
    pub deny_warnings: bool,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    crate::plugins::init()?;
    let mut worst = None;
    let mut names = BTreeMap::new();
    for path in files(&args.files)? {
        let problems = match std::fs::read_to_string(&path) {
            Ok(source) => check_file(&path, &source, &mut names),
            Err(error) => vec![about_file(format!("cannot be read: {error}"))],
        };
        for problem in &problems {
            println!("{}", problem.render(&path));
        }
        if problems.is_empty() {
            println!("{}: ok", path.display());
        }
        worst = worst.max(problems.iter().map(|problem| problem.severity).max());
    }
    let failed = match worst {
        Some(Severity::Error) => true,
        Some(Severity::Warning) => args.deny_warnings,
        None => false,
    };
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(catalogue::files(path).map_err(anyhow::Error::msg)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn check_file(path: &Path, source: &str, names: &mut BTreeMap<String, PathBuf>) -> Vec<Problem> {
    let (description, mut problems) = description::parse(source);
    if let Some(description) = description {
        problems.extend(installed::check(&description, source));
        problems.extend(twin(&description, path, names));
    }
    problems
}

fn twin(description: &Description, path: &Path, names: &mut BTreeMap<String, PathBuf>) -> Option<Problem> {
    let other = names.insert(description.name.clone(), path.to_owned())?;
    Some(about_file(format!(
        "{} also names its pipeline `{}`",
        other.display(),
        description.name
    )))
}

fn about_file(message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        line: 0,
        field: String::new(),
        message,
        hint: None,
    }
}
