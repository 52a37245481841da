//! The pipelines of a folder. A file that changes serves the next session; a bad one is reported and the old one
//! stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sightline_protocol::rpc::PipelineList;
use sightline_protocol::{ErrorId, Failure};

use super::problem::did_you_mean;
use super::{Description, parse};

#[derive(Debug)]
pub struct Catalogue {
    folder: PathBuf,
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
}

#[derive(Debug)]
struct Entry {
    modified: Option<SystemTime>,
    /// The newest version that was good.
    description: Option<Arc<Description>>,
}

impl Catalogue {
    /// Reads the folder. That it cannot be read, or that it holds no good file, is an error.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let catalogue = Self {
            folder: folder.to_owned(),
            entries: Mutex::default(),
        };
        catalogue.refresh()?;
        if catalogue.all().is_empty() {
            return Err(format!(
                "no usable pipeline description (*.toml) in {}; `pipeline-launcher check` says what is wrong",
                folder.display()
            ));
        }
        Ok(catalogue)
    }

    /// The description of that name, as its file says now.
    pub fn find(&self, name: &str) -> Result<Arc<Description>, Failure> {
        let all = self.current();
        all.iter()
            .find(|description| description.name == name)
            .cloned()
            .ok_or_else(|| {
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
        PipelineList {
            pipelines: self
                .current()
                .iter()
                .map(|description| description.info())
                .collect(),
        }
    }

    /// All, as their files say now.
    fn current(&self) -> Vec<Arc<Description>> {
        if let Err(error) = self.refresh() {
            tracing::warn!(%error, "the pipelines' folder cannot be read; the known ones stay");
        }
        self.all()
    }

    fn all(&self) -> Vec<Arc<Description>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .values()
            .filter_map(|entry| entry.description.clone())
            .collect()
    }

    /// Reads the files that are new or changed.
    fn refresh(&self) -> Result<(), String> {
        let files = files(&self.folder)?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|path, _| files.contains(path));
        for path in files {
            let modified = std::fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .ok();
            if entries.get(&path).is_some_and(|entry| entry.modified == modified) {
                continue;
            }
            let previous = entries.remove(&path).and_then(|entry| entry.description);
            let description = load(&path).map(Arc::new).or(previous);
            let taken = description.as_ref().and_then(|new| {
                let same = |entry: &Entry| entry.description.as_ref().is_some_and(|old| old.name == new.name);
                entries
                    .iter()
                    .find(|(_, entry)| same(entry))
                    .map(|(other, _)| other.clone())
            });
            let description = match taken {
                Some(other) => {
                    let (file, other) = (path.display(), other.display());
                    tracing::error!(%file, %other, "two files name the same pipeline; the second is ignored");
                    None
                }
                None => description,
            };
            entries.insert(
                path,
                Entry {
                    modified,
                    description,
                },
            );
        }
        Ok(())
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

fn load(path: &Path) -> Option<Description> {
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) => {
            tracing::error!(file = %path.display(), %error, "the pipeline description cannot be read");
            return None;
        }
    };
    let (description, problems) = parse(&source);
    for problem in problems {
        tracing::warn!("{}", problem.render(path));
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "schema = 1\nname = \"a\"\nkind = \"worker\"\nsummary = \"s\"\n[pipeline]\nlaunch = \"fakesrc ! fakesink\"\n";

    fn write(path: &Path, text: &str, age_secs: u64) {
        std::fs::write(path, text).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age_secs))
            .unwrap();
    }

    #[test]
    fn a_change_is_taken_and_a_bad_one_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write(&path, FILE, 30);
        let catalogue = Catalogue::open(folder.path()).unwrap();
        assert_eq!(catalogue.find("a").unwrap().summary, "s");

        write(&path, &FILE.replace("\"s\"", "\"changed\""), 20);
        assert_eq!(catalogue.find("a").unwrap().summary, "changed");

        write(&path, "schema = 7", 10);
        assert_eq!(catalogue.find("a").unwrap().summary, "changed");

        std::fs::remove_file(&path).unwrap();
        let failure = catalogue.find("a").unwrap_err();
        assert_eq!(failure.id, ErrorId::UnknownPipeline);
    }

    #[test]
    fn a_folder_without_descriptions_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Catalogue::open(folder.path()).unwrap_err();
        assert!(error.contains("no usable pipeline description"), "{error}");
        assert!(
            Catalogue::open(&folder.path().join("none"))
                .unwrap_err()
                .contains("cannot read the folder")
        );
    }
}
