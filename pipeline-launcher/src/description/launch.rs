//! The launch text of a description: its words and its `{placeholders}`.
//!
//! This is a reader, not a parser: GStreamer itself parses the text. It only needs to know which words are
//! elements, properties and references, to name what is wrong.

use std::ops::Range;

/// An element as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub factory: String,
    /// The value of its property `name`.
    pub name: Option<String>,
    pub properties: Vec<Property>,
    /// Bytes in the text.
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    pub span: Range<usize>,
}

impl Element {
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|property| property.key == key)
            .map(|property| property.value.as_str())
    }
}

/// The elements of a launch text, in order.
pub fn elements(text: &str) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    for span in words(text) {
        let word = &text[span.clone()];
        if let Some((key, value)) = word.split_once('=').filter(|(key, _)| is_property_key(key)) {
            let value = value.trim_matches(['"', '\'']).to_owned();
            if let Some(element) = elements.last_mut() {
                if key == "name" {
                    element.name = Some(value.clone());
                }
                element.properties.push(Property {
                    key: key.to_owned(),
                    value,
                    span,
                });
            }
        } else if is_factory(word) {
            elements.push(Element {
                factory: word.to_owned(),
                name: None,
                properties: Vec::new(),
                span,
            });
        }
    }
    elements
}

fn is_property_key(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
}

/// An element's factory: not a link, a reference (`webrtc.`), a bin's bracket or a caps filter.
fn is_factory(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Words are parted by white space outside of quotes.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    for (index, c) in text.char_indices() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| start..index));
            continue;
        }
        start.get_or_insert(index);
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

/// The `{name}` placeholders of a launch text.
pub fn placeholders(text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(open) = text[rest..].find('{').map(|index| rest + index) {
        let Some(close) = text[open..].find('}').map(|index| open + index) else {
            break;
        };
        let name = &text[open + 1..close];
        if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            found.push((name.to_owned(), open..close + 1));
        }
        rest = close + 1;
    }
    found
}

/// Writes values into the placeholders; a placeholder without a value is an error with its name.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = 0;
    for (name, span) in placeholders(text) {
        filled.push_str(&text[rest..span.start]);
        filled.push_str(&value(&name).ok_or(name)?);
        rest = span.end;
    }
    filled.push_str(&text[rest..]);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
      webrtcbin name=webrtc bundle-policy=max-bundle
      webrtc. ! rtpvideodec ! video/x-raw,framerate={fps}/1 ! queue name="the queue" ! sink.sink_0
      textoverlay text="a = b ! fakesink" ! mux.
    "#;

    #[test]
    fn elements_and_their_properties() {
        let elements = elements(TEXT);
        let factories: Vec<_> = elements.iter().map(|element| element.factory.as_str()).collect();
        assert_eq!(factories, ["webrtcbin", "rtpvideodec", "queue", "textoverlay"]);
        assert_eq!(elements[0].name.as_deref(), Some("webrtc"));
        assert_eq!(elements[0].property("bundle-policy"), Some("max-bundle"));
        assert_eq!(elements[2].name.as_deref(), Some("the queue"));
        assert_eq!(elements[3].property("text"), Some("a = b ! fakesink"));
    }

    #[test]
    fn placeholders_are_filled() {
        assert_eq!(placeholders(TEXT).len(), 1);
        let filled = fill(TEXT, |name| (name == "fps").then(|| "30".to_owned())).unwrap();
        assert!(filled.contains("framerate=30/1"));
        assert_eq!(fill(TEXT, |_| None), Err("fps".to_owned()));
    }

    #[test]
    fn odd_texts_do_not_panic() {
        for text in ["", "{", "}{", "'", "\"a", "é={é}", "a=é ü", "{a"] {
            drop((elements(text), placeholders(text), fill(text, |_| None)));
        }
    }
}
