//! Any text as a pipeline file: it is judged, and its parameters resolve or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline_launcher::description;

fuzz_target!(|text: &str| {
    let (description, problems) = description::parse(text);
    assert!(description.is_some() || !problems.is_empty());
    if let Some(description) = description {
        description.resolve(&Default::default()).ok();
    }
});
