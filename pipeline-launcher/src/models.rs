//! Finds a model's file by its name in `models.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::description::problem::did_you_mean;

/// The model that is always there, for a machine that has no other.
pub const BUILT_IN: &str = "blobs";

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub name: String,
    pub path: PathBuf,
    pub labels: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct List {
    models: std::collections::BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    file: String,
    sha256: String,
    /// Other exports of the same weights that are known to be good.
    #[serde(default)]
    also_sha256: Vec<String>,
    #[serde(default)]
    labels: Option<String>,
}

/// Where models are looked for.
#[derive(Debug, Clone)]
pub struct Models {
    /// The folder of `models.toml`, the label files and the built-in model.
    home: PathBuf,
    /// Searched in this order.
    folders: Vec<PathBuf>,
}

impl Models {
    /// `extra` (from the configuration) is searched before `home`, then a local data folder, if present.
    pub fn new(home: PathBuf, extra: Option<PathBuf>) -> Self {
        let data = home.join("../../shared/data/models");
        let folders = extra
            .into_iter()
            .chain([home.clone()])
            .chain(data.is_dir().then_some(data))
            .collect();
        Self { home, folders }
    }

    /// Where model files and labels may lie.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The file of the model `name`, or of the path if it is one.
    pub fn find(&self, name: &str) -> Result<Model, String> {
        if name.ends_with(".onnx") {
            let path = PathBuf::from(name);
            let stem = path
                .file_stem()
                .map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
            return if path.is_file() {
                Ok(Model {
                    name: stem,
                    path,
                    labels: None,
                })
            } else {
                Err(format!(
                    "there is no model file {name}: give the path of an .onnx file that exists, or a model's name in {}",
                    self.home.join("models.toml").display()
                ))
            };
        }
        let list = self.list()?;
        let Some(entry) = list.models.get(name) else {
            let known: Vec<_> = list.models.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no model `{name}` in {}: it names {}",
                self.home.join("models.toml").display(),
                known.join(", ")
            ));
        };
        let mut rejected = Vec::new();
        for path in self
            .folders
            .iter()
            .map(|folder| folder.join(&entry.file))
            .filter(|path| path.is_file())
        {
            let sum = sha256(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if sum == entry.sha256 || entry.also_sha256.contains(&sum) {
                let labels = entry.labels.as_ref().map(|labels| self.home.join(labels));
                return Ok(Model {
                    name: name.to_owned(),
                    path,
                    labels,
                });
            }
            rejected.push(format!("{} has sha256 {sum}", path.display()));
        }
        if !rejected.is_empty() {
            return Err(format!(
                "no file of the model `{name}` has the sha256 that models.toml gives: {}. \
                 Delete it and fetch it again (`make model`), or add your file's sha256 there",
                rejected.join("; ")
            ));
        }
        let folders: Vec<_> = self
            .folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        Err(format!(
            "the model `{name}` ({}) is in none of {}. `make model` fetches it; SIGHTLINE_MODEL_DIR names another folder",
            entry.file,
            folders.join(", ")
        ))
    }

    /// Whether a client may ask for the model by that name; an error names those that there are. Paths are the
    /// operator's to give.
    pub fn check_name(&self, name: &str) -> Result<(), String> {
        let models = self.list()?.models;
        if models.contains_key(name) {
            return Ok(());
        }
        let known = || models.keys().map(String::as_str);
        let hint = did_you_mean(name, known())
            .unwrap_or_else(|| format!("there are {}", known().collect::<Vec<_>>().join(", ")));
        Err(format!("there is no model `{name}`: {hint}"))
    }

    /// True if `models.toml` names the model, wherever its file may be.
    pub fn knows(&self, name: &str) -> bool {
        self.list().is_ok_and(|list| list.models.contains_key(name))
    }

    fn list(&self) -> Result<List, String> {
        let path = self.home.join("models.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read the list of models {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{} is broken: {error}", path.display()))
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    Ok(Sha256::digest(std::fs::read(path)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m.onnx"), "model").unwrap();
        let sum = sha256(&folder.path().join("m.onnx")).unwrap();
        let list = format!(
            "[models.m]\nfile = \"m.onnx\"\nsha256 = \"{sum}\"\nlabels = \"m.txt\"\n[models.absent]\nfile = \"x.onnx\"\nsha256 = \"0\"\n[models.forged]\nfile = \"m.onnx\"\nsha256 = \"0\"\n"
        );
        std::fs::write(folder.path().join("models.toml"), list).unwrap();
        folder
    }

    #[test]
    fn a_model_is_found_by_name_and_sum() {
        let folder = home();
        let models = Models::new(folder.path().to_owned(), None);
        let model = models.find("m").unwrap();
        assert_eq!(model.path, folder.path().join("m.onnx"));
        assert_eq!(model.labels, Some(folder.path().join("m.txt")));
    }

    #[test]
    fn a_client_may_name_what_the_list_names() {
        let folder = home();
        let models = Models::new(folder.path().to_owned(), None);
        assert_eq!(models.check_name("absent"), Ok(()));
        for (name, words) in [
            ("absnt", "no model `absnt`: did you mean `absent`?"),
            ("yolo", "there are absent, forged, m"),
            ("/etc/m.onnx", "there are absent, forged, m"),
        ] {
            let error = models.check_name(name).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_forged_is_said() {
        let folder = home();
        let models = Models::new(folder.path().to_owned(), None);
        assert!(models.find("absent").unwrap_err().contains("is in none of"));
        assert!(models.find("forged").unwrap_err().contains("has sha256"));
        assert!(
            models
                .find("nobody")
                .unwrap_err()
                .contains("it names absent, forged, m")
        );
        assert!(models.find("/none/x.onnx").unwrap_err().contains("no model file"));
    }
}
