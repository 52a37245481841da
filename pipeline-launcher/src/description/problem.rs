//! What is wrong with a pipeline description: where, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file works, but says something that has no effect.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// Counted from 1; 0 if it concerns the file as a whole.
    pub line: usize,
    /// The field, as a dotted path; empty if it concerns the file as a whole.
    pub field: String,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    /// `file:line: error: field: message` with the hint on a line of its own.
    pub fn render(&self, file: &Path) -> String {
        let mut text = file.display().to_string();
        if self.line > 0 {
            text.push_str(&format!(":{}", self.line));
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
        self.list.sort_by_key(|problem| problem.line);
        self.list
    }

    fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        field: String,
        message: String,
        hint: Option<String>,
    ) {
        let before = self.source.get(..span.start).unwrap_or(self.source);
        let line = if span == NOWHERE {
            0
        } else {
            before.matches('\n').count() + 1
        };
        self.list.push(Problem {
            severity,
            line,
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

fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const SIMILAR: f64 = 0.75;
    known
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
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
        assert_eq!(did_you_mean("fakesink", known), None);
    }
}
