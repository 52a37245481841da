//! Broken pipeline files, and the exact words that people read about them: `broken/X.txt` is what
//! `pipeline-launcher check` says of `broken/X.toml`, or of the folder `broken/X`.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

/// All that stands in the folder but the expected texts.
fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    cases
}

fn said_of(case: &Path) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
        .args(["check", "--deny-warnings"])
        .arg(case.file_name().unwrap())
        .current_dir(folder())
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn each_broken_file_is_told_what_is_wrong_where_and_what_to_do() {
    let mut differences = Vec::new();
    for case in cases() {
        let expected = std::fs::read_to_string(case.with_extension("txt")).unwrap_or_default();
        let (said, code) = said_of(&case);
        if said != expected {
            let name = case.file_name().unwrap().to_string_lossy();
            differences.push(format!("--- {name}, expected:\n{expected}--- said:\n{said}"));
        }
        assert_eq!(code, Some(1), "{}", case.display());
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn no_expectation_is_left_over() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.with_extension("toml");
        assert!(
            file.is_file() || path.with_extension("").is_dir(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn warnings_alone_do_not_fail_a_check() {
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
        .args(["check", "unused.toml", "property-deprecated.toml"])
        .current_dir(folder())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.ends_with("0 errors, 3 warnings\n"),
        "{said}"
    );
}
