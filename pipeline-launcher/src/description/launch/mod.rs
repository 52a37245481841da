//! The launch text of a description: its elements, links and `{placeholders}`.
//!
//! This is a reader, not a parser: GStreamer itself parses the text. It only needs to know what stands where, to name
//! what is wrong.

mod lexer;

use std::ops::Range;

use lexer::Token;

/// What was read of a launch text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Launch {
    pub elements: Vec<Element>,
    pub links: Vec<Link>,
    /// True if all of it is understood: no bins, no addresses.
    pub complete: bool,
}

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
    pub value_span: Range<usize>,
}

/// `from ! to`, or `from ! caps ! to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub from: Option<End>,
    pub to: Option<End>,
    pub caps: Option<Range<usize>>,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub node: Node,
    pub pad: Option<String>,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Index in [`Launch::elements`].
    Element(usize),
    /// `name.`
    Named(String),
}

impl Element {
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|property| property.key == key)
            .map(|property| property.value.as_str())
    }

    /// What people call it: its name, or else its factory.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.factory)
    }
}

impl Launch {
    pub fn named(&self, name: &str) -> Option<usize> {
        self.elements
            .iter()
            .position(|element| element.name.as_deref() == Some(name))
    }
}

/// The elements of a launch text, in order.
pub fn elements(text: &str) -> Vec<Element> {
    read(text).elements
}

/// Reads a launch text.
pub fn read(text: &str) -> Launch {
    let mut reader = Reader {
        launch: Launch {
            complete: true,
            ..Launch::default()
        },
        ..Reader::default()
    };
    for (token, span) in lexer::tokens(text) {
        reader.take(text, token, span);
    }
    let open = reader.open.take();
    reader.launch.links.extend(open);
    reader.launch
}

#[derive(Default)]
struct Reader {
    launch: Launch,
    /// The end from which a link may go on.
    last: Option<End>,
    /// A link that waits for its second end.
    open: Option<Link>,
    /// `.pad`, written before the element that it belongs to.
    pad: Option<String>,
    /// True if what follows may be an element's property.
    in_element: bool,
}

impl Reader {
    fn take(&mut self, text: &str, token: Token, span: Range<usize>) {
        let word = |span: Range<usize>| text[span].to_owned();
        match token {
            Token::Factory => {
                let factory = word(span.clone());
                self.launch.elements.push(Element {
                    factory,
                    name: None,
                    properties: Vec::new(),
                    span: span.clone(),
                });
                self.in_element = true;
                let pad = self.pad.take();
                self.end(Node::Element(self.launch.elements.len() - 1), pad, span);
            }
            Token::Reference { name, pad } => {
                self.in_element = false;
                self.end(Node::Named(word(name)), pad.map(word), span);
            }
            Token::Pad(name) => match &mut self.last {
                Some(last) if self.open.is_none() => last.pad = Some(word(name)),
                _ => self.pad = Some(word(name)),
            },
            Token::Link { caps } => {
                let (from, to) = (self.last.take(), None);
                let link = Link { from, to, caps, span };
                let unfinished = self.open.replace(link);
                self.launch.links.extend(unfinished);
            }
            Token::Assignment { key, value } if self.in_element => {
                let property = Property {
                    key: word(key),
                    value: lexer::unquoted(&text[value.clone()]),
                    span,
                    value_span: value,
                };
                if let Some(element) = self.launch.elements.last_mut() {
                    if property.key == "name" {
                        element.name = Some(property.value.clone());
                    }
                    element.properties.push(property);
                }
            }
            Token::Assignment { .. } | Token::Other => {
                self.launch.complete = false;
                self.in_element = false;
            }
        }
    }

    fn end(&mut self, node: Node, pad: Option<String>, span: Range<usize>) {
        let end = End { node, pad, span };
        let open = self.open.take();
        // A pad that was linked to is not the one that is linked from.
        let pad = end.pad.clone().filter(|_| open.is_none());
        self.launch.links.extend(open.map(|link| Link {
            to: Some(end.clone()),
            ..link
        }));
        self.last = Some(End { pad, ..end });
    }
}

/// A word in braces.
struct Braces {
    word: String,
    /// True of `{{word}}`, which stands for `{word}` itself.
    doubled: bool,
    span: Range<usize>,
}

fn braces(text: &str) -> Vec<Braces> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(open) = text[rest..].find('{').map(|index| rest + index) {
        rest = open + 1;
        let after = |at: usize| text[at..].chars().next();
        let doubled = after(rest) == Some('{');
        let start = rest + usize::from(doubled);
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = start + text[start..].chars().take_while(|c| is_letter(*c)).count();
        let closed = after(end) == Some('}') && (!doubled || after(end + 1) == Some('}'));
        if end > start && closed {
            rest = end + 1 + usize::from(doubled);
            found.push(Braces {
                word: text[start..end].to_owned(),
                doubled,
                span: open..rest,
            });
        }
    }
    found
}

/// The `{name}` placeholders of a launch text.
pub fn placeholders(text: &str) -> Vec<(String, Range<usize>)> {
    let single = braces(text).into_iter().filter(|braces| !braces.doubled);
    single.map(|braces| (braces.word, braces.span)).collect()
}

/// A launch text with values in its placeholders, which remembers where each byte came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    pub text: String,
    /// Start of each piece: in the filled text, and in the template; true if it is a placeholder's value.
    pieces: Vec<(usize, usize, bool)>,
}

impl Filled {
    /// The byte of the template from which a byte of the filled text came.
    pub fn origin(&self, at: usize) -> usize {
        let piece = self.pieces.iter().rev().find(|(start, ..)| *start <= at);
        piece.map_or(
            at,
            |(start, origin, is_value)| {
                if *is_value { *origin } else { origin + (at - start) }
            },
        )
    }
}

/// Writes values into the placeholders; a placeholder without a value is an error with its name.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<Filled, String> {
    let mut filled = Filled {
        text: String::with_capacity(text.len()),
        pieces: Vec::new(),
    };
    let mut rest = 0;
    for Braces { word, doubled, span } in braces(text) {
        filled.pieces.push((filled.text.len(), rest, false));
        filled.text.push_str(&text[rest..span.start]);
        filled.pieces.push((filled.text.len(), span.start, true));
        let value = if doubled {
            Some(format!("{{{word}}}"))
        } else {
            value(&word)
        };
        filled.text.push_str(&value.ok_or(word)?);
        rest = span.end;
    }
    filled.pieces.push((filled.text.len(), rest, false));
    filled.text.push_str(&text[rest..]);
    Ok(filled)
}

#[cfg(test)]
mod tests;
