use super::*;
use crate::description::judge::judge;

const FILE: &str = "schema = 1\nname = \"a\"\nkind = \"source\"\nsummary = \"s\"\n[pipeline]\nlaunch = \"fakesrc ! fakesink\"\n";

struct Folder {
    folder: tempfile::TempDir,
    catalogue: Catalogue,
}

impl Folder {
    fn new() -> Self {
        crate::plugins::init().unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            catalogue: Catalogue::default(),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file, or removes it, and looks at the folder.
    fn change(&self, file: &str, text: Option<&str>) -> Vec<Change> {
        match text {
            Some(text) => std::fs::write(self.path(file), text).unwrap(),
            None => std::fs::remove_file(self.path(file)).unwrap(),
        }
        self.look()
    }

    fn look(&self) -> Vec<Change> {
        let texts = read(self.folder.path()).unwrap();
        let Some(order) = self.catalogue.to_judge(&texts) else {
            return Vec::new();
        };
        let verdicts = judge(&order);
        self.catalogue
            .take(texts, order.into_iter().zip(verdicts).collect())
    }

    fn summary(&self, name: &str) -> Option<String> {
        Some(self.catalogue.find(name).ok()?.summary.clone())
    }
}

fn with_summary(summary: &str) -> String {
    FILE.replace("\"s\"", &format!("\"{summary}\""))
}

#[test]
fn a_good_change_is_taken_and_a_removed_file_takes_its_pipeline_along() {
    let folder = Folder::new();
    let path = folder.path("a.toml");
    assert_eq!(folder.change("a.toml", Some(FILE)), [Change::Taken(path.clone())]);
    assert_eq!(folder.look(), []);
    assert_eq!(
        folder.change("a.toml", Some(&with_summary("new"))),
        [Change::Taken(path.clone())]
    );
    assert_eq!(folder.summary("a").as_deref(), Some("new"));
    assert_eq!(folder.change("a.toml", None), [Change::Removed(path)]);
    let failure = folder.catalogue.find("a").unwrap_err();
    assert_eq!(failure.id, ErrorId::UnknownPipeline);
}

#[test]
fn a_bad_change_leaves_the_old_and_says_why_until_it_is_mended() {
    let folder = Folder::new();
    folder.change("a.toml", Some(FILE));
    // The second can be parsed; only GStreamer does not know the element.
    for (bad, words) in [
        ("schema = 7", "schema"),
        (
            &with_summary("new").replace("fakesink", "fakesnk"),
            "did you mean `fakesink`?",
        ),
    ] {
        let changes = folder.change("a.toml", Some(bad));
        assert_eq!(changes, [Change::Refused(folder.path("a.toml"))]);
        assert_eq!(folder.summary("a").as_deref(), Some("s"));
        let refused = folder.catalogue.refused();
        assert_eq!(
            (refused.len(), refused[0].serves.as_deref()),
            (1, Some("a")),
            "{refused:?}"
        );
        let told =
            |problem: &Problem| problem.place.is_some() && problem.render(Path::new("")).contains(words);
        assert!(refused[0].problems.iter().any(told), "{refused:?}");

        // Another file's change judges all again: the first refusal stands.
        folder.change("b.toml", Some(&FILE.replace("\"a\"", "\"b\"")));
        assert_eq!(folder.catalogue.refused(), refused);
        folder.change("b.toml", None);
    }
    folder.change("a.toml", Some(&with_summary("mended")));
    assert_eq!(folder.summary("a").as_deref(), Some("mended"));
    assert_eq!(folder.catalogue.refused(), []);
}

#[test]
fn of_two_files_with_one_name_the_first_in_use_keeps_it() {
    let folder = Folder::new();
    folder.change("b.toml", Some(FILE));
    folder.change("a.toml", Some(&with_summary("thief")));
    assert_eq!(folder.summary("a").as_deref(), Some("s"));
    let refused = folder.catalogue.refused();
    assert!(refused[0].file.ends_with("a.toml"), "{refused:?}");
    assert!(
        refused[0].problems[0].message.contains("which is taken: see "),
        "{refused:?}"
    );
    // When it gives the name up, the other has it.
    let mut changes = folder.change("b.toml", None);
    changes.sort_by_key(|change| matches!(change, Change::Removed(_)));
    assert_eq!(
        changes,
        [
            Change::Taken(folder.path("a.toml")),
            Change::Removed(folder.path("b.toml"))
        ]
    );
    assert_eq!(folder.summary("a").as_deref(), Some("thief"));
}

#[test]
fn an_earlier_version_gives_way_to_a_good_file_of_its_name() {
    let folder = Folder::new();
    folder.change("a.toml", Some(FILE));
    folder.change("a.toml", Some("schema = 7"));
    folder.change("b.toml", Some(&with_summary("moved")));
    assert_eq!(folder.summary("a").as_deref(), Some("moved"));
    assert_eq!(folder.catalogue.refused()[0].serves, None);
}

#[test]
fn what_is_no_file_is_refused_and_a_folder_that_is_not_there_an_error() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("a.toml")).unwrap();
    assert_eq!(folder.look(), [Change::Refused(folder.path("a.toml"))]);
    let error = read(&folder.path("none")).unwrap_err();
    assert!(error.contains("cannot read the folder"), "{error}");
}
