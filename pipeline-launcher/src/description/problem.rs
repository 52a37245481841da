//! What is wrong with a pipeline description: where, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file works, but says something that has no effect or that will not last.
    Warning,
    /// The file cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A place in a file, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte of `source`.
    pub fn of(source: &str, byte: usize) -> Self {
        let before = source.get(..byte).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub severity: Severity,
    /// None if it concerns the file as a whole.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The field, as a dotted path; empty if it concerns the file as a whole.
    pub field: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// One that concerns the file as a whole.
    pub fn of_file(message: String) -> Self {
        Self {
            severity: Severity::Error,
            place: None,
            field: String::new(),
            message,
            hint: None,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `file:line:column: error: field: message` with the hint on a line of its own.
    pub fn render(&self, file: &Path) -> String {
        let mut text = file.display().to_string();
        if let Some(Place { line, column }) = self.place {
            text.push_str(&format!(":{line}:{column}"));
        }
        text.push_str(&format!(": {}: ", self.severity));
        if !self.field.is_empty() {
            text.push_str(&format!("`{}`: ", self.field));
        }
        text.push_str(&self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n    hint: {hint}"));
        }
        text
    }
}

/// Collects all problems of one file, so that they can be mended in one go.
#[derive(Debug)]
pub struct Problems<'a> {
    source: &'a str,
    list: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub fn new(source: &'a str) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    pub fn error(&mut self, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Error, span, field.into(), message.into(), None);
    }

    pub fn error_with_hint(
        &mut self,
        span: Range<usize>,
        field: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.push(Severity::Error, span, field.into(), message.into(), hint);
    }

    pub fn warning(&mut self, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Warning, span, field.into(), message.into(), None);
    }

    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// All problems in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| problem.place);
        self.list
    }

    pub fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        field: String,
        message: String,
        hint: Option<String>,
    ) {
        self.list.push(Problem {
            severity,
            place: (span != NOWHERE).then(|| Place::of(self.source, span.start)),
            field,
            message,
            hint,
        });
    }
}

/// The span of a problem that concerns the file as a whole.
pub const NOWHERE: Range<usize> = usize::MAX..usize::MAX;

/// "did you mean …?", if one of `known` is close to `word`.
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    closest(word, known).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The word of `known` that is most like `word`, if one is.
pub fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    /// One slip of the finger in four letters (`I42O`), or two in eight.
    const SIMILAR: f64 = 0.75;
    let word = word.to_ascii_lowercase();
    let similarity = |candidate: &str| {
        let candidate = candidate.to_ascii_lowercase();
        // Two letters swapped weigh too much in a short word.
        if word.len() > 2
            && strsim::damerau_levenshtein(&word, &candidate) == 1
            && sorted(&word) == sorted(&candidate)
        {
            return 1.0;
        }
        strsim::normalized_damerau_levenshtein(&word, &candidate)
    };
    known
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        // Of equals the first: `max_by` would give the last.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<_> = word.chars().collect();
    letters.sort_unstable();
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_words_are_suggested() {
        let known = ["yoloxdetect", "overlay", "videoscale"];
        assert_eq!(
            did_you_mean("yoloxdetct", known).as_deref(),
            Some("did you mean `yoloxdetect`?")
        );
        assert_eq!(closest("YoloxDetect", known), Some("yoloxdetect"));
        assert_eq!(closest("fsp", ["fps"]), Some("fps"));
        assert_eq!(did_you_mean("fakesink", known), None);
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(Place::of("a\né=x", 5), Place { line: 2, column: 3 });
        assert_eq!(Place::of("a", 99), Place { line: 1, column: 2 });
    }
}
