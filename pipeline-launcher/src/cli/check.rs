//! `check`: says everything that is wrong with pipeline files, without Redis, GPU or network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::description::problem::Place;
use crate::description::{self, Description, LAUNCH, Problem, Severity, catalogue, installed, owners};

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
    let mut claims = Claims::default();
    let (mut errors, mut warnings) = (0, 0);
    for path in files(&args.files)? {
        let problems = match std::fs::read_to_string(&path) {
            Ok(source) => check_file(&path, &source, &mut claims),
            Err(error) => vec![unreadable(&error)],
        };
        for problem in &problems {
            println!("{}", problem.render(&path));
            match problem.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        if problems.is_empty() {
            println!("{}: ok", path.display());
        }
    }
    if errors + warnings > 0 {
        println!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    }
    let failed = errors > 0 || (args.deny_warnings && warnings > 0);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
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

fn check_file(path: &Path, source: &str, claims: &mut Claims) -> Vec<Problem> {
    let (draft, mut problems) = description::draft(source);
    if let Some(draft) = draft {
        problems.extend(installed::check(&draft, source));
        problems.extend(claims.check(&draft, path, source));
    }
    problems.sort_by_key(|problem| problem.place);
    problems
}

/// What the files checked so far have for themselves, and where they say so.
#[derive(Default)]
struct Claims {
    names: BTreeMap<String, String>,
    things: BTreeMap<String, String>,
}

impl Claims {
    fn check(&mut self, description: &Description, path: &Path, source: &str) -> Vec<Problem> {
        let place = Place::of(source, description.name_start);
        let name = Some(&description.name).filter(|name| !name.is_empty());
        let twin = name.and_then(|name| self.names.insert(name.clone(), at(path, place)));
        let twin = twin.map(|other| {
            let message = format!("is \"{}\", which is taken: see {other}", description.name);
            error(place, "name", message)
        });
        let owned = owners::owned(description, source);
        let mut problems = owners::check_several(description, &owned);
        problems.extend(twin);
        for thing in owned {
            if let Some(other) = self.things.insert(thing.what.clone(), at(path, thing.place)) {
                let message = format!("{} has another owner: see {other}", thing.what);
                problems.push(error(thing.place, LAUNCH, message));
            }
        }
        problems
    }
}

fn at(path: &Path, place: Place) -> String {
    format!("{}:{}:{}", path.display(), place.line, place.column)
}

fn error(place: Place, field: &str, message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        place: Some(place),
        field: field.to_owned(),
        message,
        hint: None,
    }
}

fn unreadable(error: &std::io::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        place: None,
        field: String::new(),
        message: format!("cannot be read: {error}"),
        hint: None,
    }
}
