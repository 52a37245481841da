//! The pipelines of a folder, as its files were when they were last good. No IO: who reads and judges the files is told
//! what to judge, and says what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use sightline_protocol::rpc::PipelineList;
use sightline_protocol::{ErrorId, Failure, unix_micros};

use super::judge::Verdict;
use super::problem::did_you_mean;
use super::{Description, Problem, parse};

/// What stands in each file, or why it cannot be read.
pub type Texts = BTreeMap<PathBuf, Result<String, String>>;

#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// As it was judged last.
    text: Result<String, String>,
    /// The newest version that was good.
    description: Option<Arc<Description>>,
    /// Of a file that is not good as it is now.
    refused: Option<Refused>,
}

#[derive(Debug, Clone)]
struct Refused {
    since_us: u64,
    problems: Vec<Problem>,
}

/// A file that is not used as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedFile {
    pub file: String,
    /// The pipeline that an earlier version of the file serves on.
    pub serves: Option<String>,
    /// Unix time in microseconds.
    pub since_us: u64,
    pub problems: Vec<Problem>,
}

/// What became of a file that was new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It serves the sessions that start from now on.
    Taken(PathBuf),
    /// It is not used as it is.
    Refused(PathBuf),
    /// It is gone, and its pipeline for new sessions with it.
    Removed(PathBuf),
}

impl Catalogue {
    /// The description of that name.
    pub fn find(&self, name: &str) -> Result<Arc<Description>, Failure> {
        let all = self.all();
        let found = all.iter().find(|description| description.name == name);
        found.cloned().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|description| description.name.as_str()).collect();
            let hint = did_you_mean(name, names.iter().copied())
                .unwrap_or_else(|| format!("there are {}", names.join(", ")));
            Failure::new(
                ErrorId::UnknownPipeline,
                format!("there is no pipeline `{name}`: {hint}"),
            )
        })
    }

    pub fn list(&self) -> PipelineList {
        let mut pipelines: Vec<_> = self.all().iter().map(|description| description.info()).collect();
        pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        PipelineList { pipelines }
    }

    /// The files that are not used as they are.
    pub fn refused(&self) -> Vec<RefusedFile> {
        let entries = self.entries();
        let refused = entries.iter().filter_map(|(path, entry)| {
            let Refused { since_us, problems } = entry.refused.clone()?;
            Some(RefusedFile {
                file: path.display().to_string(),
                serves: entry.description.as_ref().map(|old| old.name.clone()),
                since_us,
                problems,
            })
        });
        refused.collect()
    }

    fn all(&self) -> Vec<Arc<Description>> {
        let entries = self.entries();
        let descriptions = entries.values().filter_map(|entry| entry.description.clone());
        descriptions.collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files to be judged if anything has changed, those in use first: of two that want the same name, who has it
    /// keeps it.
    pub fn to_judge(&self, texts: &Texts) -> Option<Vec<PathBuf>> {
        let entries = self.entries();
        let is_known = |path: &PathBuf, text: &Result<String, String>| {
            entries.get(path).is_some_and(|entry| entry.text == *text)
        };
        if texts.len() == entries.len() && texts.iter().all(|(path, text)| is_known(path, text)) {
            return None;
        }
        let in_use = |path: &&PathBuf| {
            let unchanged = texts.get(*path).is_some_and(|text| is_known(path, text));
            let good = entries.get(*path).is_some_and(|entry| entry.refused.is_none());
            unchanged && good
        };
        let (first, then): (Vec<_>, Vec<_>) = texts.keys().partition(in_use);
        Some(first.into_iter().chain(then).cloned().collect())
    }

    /// Takes what is good of the files, as they were judged.
    pub fn take(&self, texts: Texts, mut verdicts: BTreeMap<PathBuf, Verdict>) -> Vec<Change> {
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        let mut changes = Vec::new();
        for (path, text) in texts {
            let problems = verdicts.remove(&path).map(|verdict| verdict.problems);
            let (entry, change) = taken(&path, text, before.remove(&path), problems.unwrap_or_default());
            changes.extend(change);
            entries.insert(path, entry);
        }
        for path in before.into_keys() {
            tracing::info!(file = %path.display(), "a pipeline's file is gone: no new sessions of it");
            changes.push(Change::Removed(path));
        }
        forget_replaced(&mut entries);
        changes
    }
}

/// What a file comes to, and whether that is news.
fn taken(
    path: &Path,
    text: Result<String, String>,
    before: Option<Entry>,
    mut problems: Vec<Problem>,
) -> (Entry, Option<Change>) {
    let parsed = match &text {
        Ok(source) => parse(source).0,
        Err(error) => {
            problems = vec![Problem::of_file(error.clone())];
            None
        }
    };
    let good = parsed.filter(|_| !problems.iter().any(Problem::is_error));
    let same = before.as_ref().filter(|before| before.text == text);
    let Some(description) = good else {
        let known = same.and_then(|before| before.refused.as_ref());
        let news = known.is_none_or(|known| known.problems != problems);
        let since_us = known.map_or_else(unix_micros, |known| known.since_us);
        let description = before.and_then(|before| before.description);
        if news {
            report_refused(path, &problems, description.as_deref());
        }
        let refused = Some(Refused { since_us, problems });
        let entry = Entry {
            text,
            description,
            refused,
        };
        return (entry, news.then(|| Change::Refused(path.to_owned())));
    };
    if let Some(same) = same.filter(|same| same.refused.is_none()) {
        return (same.clone(), None);
    }
    for problem in &problems {
        tracing::warn!("{}", problem.render(path));
    }
    tracing::info!(file = %path.display(), pipeline = description.name, "a pipeline serves new sessions");
    let entry = Entry {
        text,
        description: Some(Arc::new(description)),
        refused: None,
    };
    (entry, Some(Change::Taken(path.to_owned())))
}

fn report_refused(path: &Path, problems: &[Problem], kept: Option<&Description>) {
    for problem in problems {
        tracing::error!("{}", problem.render(path));
    }
    let file = path.display();
    match kept {
        Some(kept) => {
            tracing::error!(%file, pipeline = kept.name, "the file is bad: its earlier version serves on")
        }
        None => tracing::error!(%file, "the file is bad: it serves no session"),
    }
}

/// A name that stands in a good file is not served from an earlier version of another.
fn forget_replaced(entries: &mut BTreeMap<PathBuf, Entry>) {
    let good = entries.values().filter(|entry| entry.refused.is_none());
    let names: Vec<String> = good
        .filter_map(|entry| Some(entry.description.as_ref()?.name.clone()))
        .collect();
    for entry in entries.values_mut().filter(|entry| entry.refused.is_some()) {
        entry.description = entry.description.take().filter(|old| !names.contains(&old.name));
    }
}

/// The description files of a folder, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot read the folder {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What stands in the files of a folder now.
pub fn read(folder: &Path) -> Result<Texts, String> {
    let text = |path: PathBuf| {
        // A pipe would never end.
        let text = if path.is_file() {
            std::fs::read_to_string(&path).map_err(|error| format!("cannot be read: {error}"))
        } else {
            Err("cannot be read: it is no file".to_owned())
        };
        (path, text)
    };
    Ok(files(folder)?.into_iter().map(text).collect())
}

#[cfg(test)]
mod tests;
