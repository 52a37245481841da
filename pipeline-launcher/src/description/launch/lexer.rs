//! The words of gst-launch syntax, as GStreamer's own lexer (`gst/parse/parse.l`) parts them.

use std::ops::Range;

/// Bytes of the text.
type Span = Range<usize>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `!`, or `! caps !`.
    Link { caps: Option<Span> },
    /// `key=value`; the value with its quotes.
    Assignment { key: Span, value: Span },
    /// `element.` or `element.pad`.
    Reference { name: Span, pad: Option<Span> },
    /// `.pad`
    Pad(Span),
    /// An element's factory.
    Factory,
    /// What this reader leaves to GStreamer: a bin's brackets, an address.
    Other,
}

/// All tokens of a text with their spans.
pub fn tokens(text: &str) -> Vec<(Token, Span)> {
    let lexer = Lexer(text.as_bytes());
    let mut tokens = Vec::new();
    let mut at = lexer.skip_space(0);
    while at < text.len() {
        let (token, end) = lexer.token(at);
        tokens.push((token, at..end));
        at = lexer.skip_space(end);
    }
    tokens
}

struct Lexer<'t>(&'t [u8]);

impl Lexer<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn skip(&self, from: usize, wanted: impl Fn(u8) -> bool) -> usize {
        let rest = self.0.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| wanted(**byte)).count()
    }

    fn skip_space(&self, from: usize) -> usize {
        self.skip(from, |byte| byte.is_ascii_whitespace())
    }

    /// The token that begins at `at`, and its end: always further on.
    fn token(&self, at: usize) -> (Token, usize) {
        match self.0[at] {
            b'!' | b':' => self.link(at),
            b'(' | b')' => (Token::Other, at + 1),
            b'.' if self.identifier(at + 1) > at + 1 => {
                let end = self.identifier(at + 1);
                (Token::Pad(at + 1..end), end)
            }
            _ if self.identifier(at) > at => self.after_identifier(at),
            _ => (Token::Other, self.word(at).max(at + 1)),
        }
    }

    fn link(&self, at: usize) -> (Token, usize) {
        let start = self.skip_space(at + 1);
        if !self.is_media_type(start) {
            return (Token::Link { caps: None }, at + 1);
        }
        let mut end = start;
        while let Some(byte) = self.byte(end).filter(|byte| *byte != b'!') {
            end += if byte == b'\\' { 2 } else { 1 };
        }
        let end = end.min(self.0.len());
        let text = self.0[start..end].trim_ascii_end();
        let caps = Some(start..start + text.len());
        (Token::Link { caps }, (end + 1).min(self.0.len()))
    }

    fn is_media_type(&self, at: usize) -> bool {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let slash = self.skip(at, letter);
        slash > at && self.byte(slash) == Some(b'/') && self.skip(slash + 1, letter) > slash + 1
    }

    /// An assignment, a reference, an address or a factory.
    fn after_identifier(&self, at: usize) -> (Token, usize) {
        let end = self.identifier(at);
        let next = self.skip_space(end);
        if self.byte(next) == Some(b'=') {
            let value = self.skip_space(next + 1);
            let value = value..self.value_end(value);
            let end = value.end;
            return (
                Token::Assignment {
                    key: at..self.identifier(at),
                    value,
                },
                end,
            );
        }
        if self.byte(next) == Some(b'.') && self.byte(self.skip_space(next + 1)) == Some(b'(') {
            return (Token::Other, next + 1);
        }
        match self.byte(end) {
            Some(b'.') => {
                let pad = end + 1..self.identifier(end + 1);
                let end = pad.end;
                let pad = Some(pad).filter(|pad| !pad.is_empty());
                (
                    Token::Reference {
                        name: at..self.identifier(at),
                        pad,
                    },
                    end,
                )
            }
            Some(b'/') => (Token::Other, self.word(at)),
            _ => (Token::Factory, end),
        }
    }

    /// The end of an identifier, or `at` if there is none.
    fn identifier(&self, at: usize) -> usize {
        match self.byte(at) {
            Some(first) if first.is_ascii_alphanumeric() || first == b'_' => self.skip(at, |byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'%' | b':')
            }),
            _ => at,
        }
    }

    /// The end of a word: a backslash takes white space into it.
    fn word(&self, at: usize) -> usize {
        let mut end = at;
        while let Some(byte) = self.byte(end).filter(|byte| !byte.is_ascii_whitespace()) {
            end += if byte == b'\\' { 2 } else { 1 };
        }
        end.min(self.0.len())
    }

    /// The end of a value: of a word, or of a quoted text if that is longer.
    fn value_end(&self, at: usize) -> usize {
        let plain = self.word(at);
        let Some(quote) = self.byte(at).filter(|byte| matches!(byte, b'"' | b'\'')) else {
            return plain;
        };
        let mut end = at + 1;
        while let Some(byte) = self.byte(end).filter(|byte| *byte != quote) {
            end += if byte == b'\\' { 2 } else { 1 };
        }
        if end < self.0.len() {
            plain.max(end + 1)
        } else {
            plain
        }
    }
}

/// A value as GStreamer sees it: without the quotes around it, and without backslashes outside of quotes.
pub fn unquoted(value: &str) -> String {
    let inner = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?;
        inner.strip_suffix(quote)
    });
    let mut plain = String::with_capacity(value.len());
    let mut quoted = false;
    let mut previous = ' ';
    for c in inner.unwrap_or(value).chars() {
        match c {
            '\\' if !quoted && previous != '\\' => {}
            _ => {
                quoted ^= c == '"' && previous != '\\';
                plain.push(c);
            }
        }
        previous = if previous == '\\' { ' ' } else { c };
    }
    plain
}
