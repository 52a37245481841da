//! Names of a model's classes.

use std::path::{Path, PathBuf};

/// The 80 classes of COCO, in the order of every YOLOX model trained on it.
#[rustfmt::skip]
pub const COCO: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase",
    "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard",
    "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl",
    "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake",
    "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote",
    "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock",
    "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
];

#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    #[error("no label file at {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path}, line {line}: the label {label:?} holds `|`, `;` or a NUL character, which the wire cannot carry; rename it"
    )]
    Separator {
        path: PathBuf,
        line: usize,
        label: String,
    },
    #[error(
        "{path} has {labels} labels, the model {classes} classes; write one label a line, in the model's order"
    )]
    Count {
        path: PathBuf,
        labels: usize,
        classes: usize,
    },
    #[error(
        "`classes` names {name:?}, which is neither a label of the model nor a number below {classes}{hint}"
    )]
    UnknownClass {
        name: String,
        classes: usize,
        hint: String,
    },
}

/// One name for each class of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// The labels of `file`, else of the `.txt` file beside the model, else the built-in ones.
    pub fn find(file: Option<&Path>, model: &Path, classes: usize) -> Result<Self, LabelsError> {
        let beside = model.with_extension("txt");
        match file {
            Some(file) => Self::load(file, classes),
            None if beside.is_file() => Self::load(&beside, classes),
            None => Ok(Self::built_in(classes)),
        }
    }

    fn load(path: &Path, classes: usize) -> Result<Self, LabelsError> {
        let text = std::fs::read_to_string(path).map_err(|source| LabelsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path, classes)
    }

    fn parse(text: &str, path: &Path, classes: usize) -> Result<Self, LabelsError> {
        let labels: Vec<String> = text
            .trim_end()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        if let Some(index) = labels.iter().position(|label| label.contains(['|', ';', '\0'])) {
            return Err(LabelsError::Separator {
                path: path.to_owned(),
                line: index + 1,
                label: labels[index].clone(),
            });
        }
        if labels.len() != classes {
            return Err(LabelsError::Count {
                path: path.to_owned(),
                labels: labels.len(),
                classes,
            });
        }
        Ok(Self(labels))
    }

    fn built_in(classes: usize) -> Self {
        if classes == COCO.len() {
            Self(COCO.map(str::to_owned).into())
        } else {
            Self((0..classes).map(|id| format!("class {id}")).collect())
        }
    }

    pub fn get(&self, class: usize) -> &str {
        self.0.get(class).map_or("", String::as_str)
    }

    /// Which classes a comma-separated list of labels and class ids selects; all of them if it is empty.
    pub fn select(&self, list: &str) -> Result<Vec<bool>, LabelsError> {
        let names: Vec<&str> = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        let mut wanted = vec![names.is_empty(); self.0.len()];
        for name in names {
            let by_label = self.0.iter().position(|label| label == name);
            let by_id = || name.parse().ok().filter(|id| *id < self.0.len());
            let id = by_label.or_else(by_id).ok_or_else(|| self.unknown(name))?;
            wanted[id] = true;
        }
        Ok(wanted)
    }

    fn unknown(&self, name: &str) -> LabelsError {
        let same_letters = self.0.iter().find(|label| label.eq_ignore_ascii_case(name));
        LabelsError::UnknownClass {
            name: name.to_owned(),
            classes: self.0.len(),
            hint: same_letters.map_or(String::new(), |label| format!("; did you mean {label:?}?")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, classes: usize) -> Result<Labels, LabelsError> {
        Labels::parse(text, Path::new("x.txt"), classes)
    }

    #[test]
    fn a_label_a_line() {
        let labels = parse("red\r\ngreen \nblue\n\n", 3).unwrap();
        assert_eq!(
            (labels.get(1), labels.get(2), labels.get(3)),
            ("green", "blue", "")
        );
    }

    #[test]
    fn separators_of_the_wire_are_refused_with_their_line() {
        for text in ["red\ngr|een", "red\ngr;een", "red\ngr\0een"] {
            let message = parse(text, 2).unwrap_err().to_string();
            assert!(message.contains("x.txt, line 2"), "{message}");
        }
    }

    #[test]
    fn the_count_must_fit() {
        let message = parse("red\ngreen", 3).unwrap_err().to_string();
        assert!(
            message.contains("2 labels") && message.contains("3 classes"),
            "{message}"
        );
    }

    #[test]
    fn without_a_file_coco_or_numbers() {
        let none = Path::new("/nonexistent/model.onnx");
        assert_eq!(Labels::find(None, none, 80).unwrap().get(16), "dog");
        assert_eq!(Labels::find(None, none, 2).unwrap().get(1), "class 1");
        assert!(matches!(
            Labels::find(Some(Path::new("/nonexistent/labels.txt")), none, 2),
            Err(LabelsError::Read { .. })
        ));
    }

    #[test]
    fn classes_are_selected_by_label_or_id() {
        let labels = parse("red\ngreen\nblue", 3).unwrap();
        assert_eq!(labels.select("").unwrap(), [true, true, true]);
        assert_eq!(labels.select("blue, 0").unwrap(), [true, false, true]);
        let message = labels.select("Green").unwrap_err().to_string();
        assert!(message.contains("did you mean \"green\""), "{message}");
        assert!(labels.select("3").is_err());
    }
}
