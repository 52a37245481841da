//! Which files and addresses a client may have read. A client's text that becomes an element's `uri` or `location` is
//! read with this machine's rights and from its place in the network, so an operator says what is open to clients.

use std::path::{Path, PathBuf};

use clap::Args;
use sightline_protocol::{ErrorId, Failure};

use crate::description::{Description, ParamKind, Resolved};

/// Properties that name what is read.
const ADDRESSES: [&str; 2] = ["uri", "location"];
const FILE: &str = "file";

/// What clients may have read.
#[derive(Debug, Clone, Args)]
pub struct Media {
    /// Schemes of the addresses that clients may name
    #[arg(
        id = "media_schemes",
        long = "media-schemes",
        env = "SIGHTLINE_MEDIA_SCHEMES",
        value_delimiter = ',',
        default_value = "http,https,rtsp,rtsps"
    )]
    pub schemes: Vec<String>,
    /// Folder whose files clients may name as file:///…; without it, none
    #[arg(id = "media_folder", long = "media-folder", env = "SIGHTLINE_MEDIA_FOLDER")]
    pub folder: Option<PathBuf>,
}

impl Media {
    /// Refuses what is not open to clients; files are named by their true path from here on.
    pub fn check(&self, description: &Description, pipeline: &mut Resolved) -> Result<(), Failure> {
        for (name, param) in &description.params {
            let is_address = |property: &str| ADDRESSES.contains(&property);
            let set = pipeline.assignments.iter_mut().filter(|assignment| {
                param.kind == ParamKind::String
                    && is_address(&assignment.property)
                    && param.is_for(&assignment.element, &assignment.property)
            });
            for assignment in set {
                assignment.value = self
                    .allowed(&assignment.value, assignment.property == "uri")
                    .map_err(|words| {
                        Failure::new(ErrorId::InvalidParam, format!("parameter `{name}`: {words}"))
                    })?;
            }
        }
        Ok(())
    }

    /// The address as it is to be used, or why it may not be.
    fn allowed(&self, address: &str, is_uri: bool) -> Result<String, String> {
        let scheme = address
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme {
            Some(scheme) if scheme == FILE => {
                let path = glib::filename_from_uri(address)
                    .map_err(|_| format!("`{address}` is not a file's address: write file:///PATH"))?;
                let path = self.file(&path.0)?;
                let uri = glib::filename_to_uri(&path, None).map_err(|error| error.to_string())?;
                Ok(if is_uri {
                    uri.into()
                } else {
                    path.display().to_string()
                })
            }
            Some(scheme) if self.schemes.contains(&scheme) => Ok(address.to_owned()),
            None if !is_uri => Ok(self.file(Path::new(address))?.display().to_string()),
            _ => Err(format!(
                "`{address}` is not one of the addresses that are open here: {}://… (SIGHTLINE_MEDIA_SCHEMES)",
                self.schemes.join("://…, ")
            )),
        }
    }

    /// The true path of a file in the folder. What lies elsewhere is not told from what does not exist.
    fn file(&self, path: &Path) -> Result<PathBuf, String> {
        let Some(folder) = &self.folder else {
            return Err(
                "no files are open to clients here: SIGHTLINE_MEDIA_FOLDER names the folder that is".into(),
            );
        };
        let folder = folder
            .canonicalize()
            .map_err(|error| format!("the folder SIGHTLINE_MEDIA_FOLDER cannot be read: {error}"))?;
        path.canonicalize()
            .ok()
            .filter(|path| path.starts_with(&folder) && path.is_file())
            .ok_or_else(|| {
                "there is no such file in the folder that is open to clients (SIGHTLINE_MEDIA_FOLDER)".into()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(folder: Option<&Path>) -> Media {
        Media {
            schemes: vec!["http".into(), "rtsp".into()],
            folder: folder.map(Path::to_owned),
        }
    }

    #[test]
    fn only_open_schemes_pass() {
        let media = media(None);
        for good in ["http://a/b?c", "RTSP://user:pw@a/1"] {
            assert_eq!(media.allowed(good, true).as_deref(), Ok(good));
        }
        for bad in [
            "ftp://a",
            "data:image/png,x",
            "v4l2:///dev/video0",
            "",
            "/etc/passwd",
            "http:/a",
            " http://a",
        ] {
            assert!(
                media
                    .allowed(bad, true)
                    .unwrap_err()
                    .contains("SIGHTLINE_MEDIA_SCHEMES"),
                "{bad}"
            );
        }
        let error = media.allowed("file:///etc/passwd", true).unwrap_err();
        assert!(error.contains("SIGHTLINE_MEDIA_FOLDER"), "{error}");
    }

    #[test]
    fn only_files_of_the_folder_pass() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::write(open.join("a b.mp4"), "x").unwrap();
        std::fs::write(root.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(root.path().join("secret"), open.join("link")).unwrap();
        let media = media(Some(&open));
        let file = |rest: &str| format!("file://{}/{rest}", open.display());
        assert!(
            media
                .allowed(&file("a%20b.mp4"), true)
                .unwrap()
                .ends_with("/open/a%20b.mp4")
        );
        let path = open.join("a b.mp4").display().to_string();
        assert!(media.allowed(&path, false).unwrap().ends_with("/open/a b.mp4"));
        assert!(media.allowed(&path, true).is_err());
        for bad in [
            "link",
            "../secret",
            "%2e%2e/secret",
            "missing",
            "",
            "a%20b.mp4/..",
            "%00",
        ] {
            assert!(media.allowed(&file(bad), true).is_err(), "{bad}");
        }
        assert!(media.allowed("file://elsewhere/open/a", true).is_err());
    }
}
