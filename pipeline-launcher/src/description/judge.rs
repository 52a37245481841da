//! Files judged together: each by itself, against the GStreamer that is installed, and by what two may not both have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Place;
use super::{Description, LAUNCH, Problem, Severity, draft, installed, owners};

/// All that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub file: String,
    pub problems: Vec<Problem>,
}

impl Verdict {
    /// The file has no error.
    pub fn is_good(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }
}

/// A verdict for each file, in their order: of two that want the same, the first has it.
///
/// Needs `gst::init`, and starts nothing.
pub fn judge(files: &[PathBuf]) -> Vec<Verdict> {
    let mut claims = Claims::default();
    let verdict = |path: &PathBuf| Verdict {
        file: path.display().to_string(),
        problems: match std::fs::read_to_string(path) {
            Ok(source) => judge_one(path, &source, &mut claims),
            Err(error) => vec![Problem::of_file(format!("cannot be read: {error}"))],
        },
    };
    files.iter().map(verdict).collect()
}

fn judge_one(path: &Path, source: &str, claims: &mut Claims) -> Vec<Problem> {
    let (draft, mut problems) = draft(source);
    if let Some(draft) = draft {
        problems.extend(installed::check(&draft, source));
        problems.extend(claims.check(&draft, path, source));
    }
    problems.sort_by_key(|problem| problem.place);
    problems
}

/// What the files judged so far have for themselves, and where they say so.
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
