//! `check`: says everything that is wrong with pipeline files, without Redis, GPU or network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::description::judge::{Verdict, judge};
use crate::description::{Problem, Severity, catalogue};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, or folders of *.toml files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Let warnings fail too
    #[arg(long)]
    pub deny_warnings: bool,
    /// As JSON, for programs
    #[arg(long)]
    pub json: bool,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    crate::plugins::init()?;
    let verdicts = judge(&files(&args.files)?);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdicts)?);
    } else {
        print(&verdicts);
    }
    let fails = |problem: &Problem| problem.is_error() || args.deny_warnings;
    let mut problems = verdicts.iter().flat_map(|verdict| &verdict.problems);
    Ok(if problems.any(fails) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(verdicts: &[Verdict]) {
    let (mut errors, mut warnings) = (0, 0);
    for Verdict { file, problems } in verdicts {
        for problem in problems {
            println!("{}", problem.render(Path::new(file)));
            match problem.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        if problems.is_empty() {
            println!("{file}: ok");
        }
    }
    if errors + warnings > 0 {
        println!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
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
