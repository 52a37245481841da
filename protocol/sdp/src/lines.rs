//! A text, cut into the lines of its session and of its media sections.

use crate::refusal::Refusal;

/// What browsers send fits ten times.
pub const MAX_SDP_BYTES: usize = 64 * 1024;
/// Of an ICE fragment.
pub const MAX_FRAGMENT_BYTES: usize = 16 * 1024;
const MAX_LINE_BYTES: usize = 4096;
const MAX_SECTIONS: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// From 1, as a person counts.
    pub number: usize,
    /// The letter before `=`.
    pub kind: u8,
    pub value: &'a str,
}

#[derive(Debug, Default)]
pub(crate) struct Lines<'a> {
    pub session: Vec<Line<'a>>,
    /// Each begins with its `m=` line.
    pub sections: Vec<Vec<Line<'a>>>,
}

impl<'a> Lines<'a> {
    pub(crate) fn split(text: &'a str, what: &str, max_bytes: usize) -> Result<Self, Refusal> {
        if text.len() > max_bytes {
            return Err(Refusal::malformed(format!(
                "the {what} has {} bytes; {max_bytes} are allowed",
                text.len()
            )));
        }
        let mut lines = Self::default();
        for (number, text) in (1..).zip(text.lines()) {
            let Some(line) = Line::read(number, text.trim_end())? else {
                continue;
            };
            if line.kind == b'm' {
                if lines.sections.len() == MAX_SECTIONS {
                    return Err(Refusal::malformed(format!(
                        "the {what} has more than {MAX_SECTIONS} media sections"
                    )));
                }
                lines.sections.push(vec![line]);
            } else {
                lines.sections.last_mut().unwrap_or(&mut lines.session).push(line);
            }
        }
        Ok(lines)
    }
}

impl<'a> Line<'a> {
    /// Nothing for an empty line, and for an attribute with control characters: nobody needs those.
    fn read(number: usize, text: &'a str) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > MAX_LINE_BYTES {
            return Err(Refusal::malformed(format!(
                "line {number} has {} bytes; {MAX_LINE_BYTES} are allowed",
                text.len()
            )));
        }
        let (&kind, value) = match (text.as_bytes(), text.get(2..)) {
            ([kind, b'=', ..], Some(value)) if kind.is_ascii_lowercase() => (kind, value),
            _ => {
                return Err(Refusal::malformed(format!(
                    "line {number} is not of the form `a=…`"
                )));
            }
        };
        if value.chars().any(char::is_control) {
            if kind == b'a' {
                return Ok(None);
            }
            return Err(Refusal::malformed(format!(
                "line {number} (`{}=`) has control characters",
                char::from(kind)
            )));
        }
        Ok(Some(Self { number, kind, value }))
    }
}

/// The values of an attribute, in order; that of a flag is empty.
pub(crate) fn attributes<'a, 'l>(
    lines: &'l [Line<'a>],
    name: &'l str,
) -> impl Iterator<Item = Attribute<'a>> + use<'a, 'l> {
    lines
        .iter()
        .filter(|line| line.kind == b'a')
        .filter_map(move |line| {
            let rest = line.value.strip_prefix(name)?;
            let value = match rest.strip_prefix(':') {
                Some(value) => value.trim(),
                None if rest.is_empty() => rest,
                None => return None,
            };
            Some(Attribute {
                number: line.number,
                value,
            })
        })
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub number: usize,
    pub value: &'a str,
}

/// An attribute that may be there once: said again it must say the same.
pub(crate) fn single<'a>(lines: &[Line<'a>], name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = attributes(lines, name);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match found.find(|other| other.value != first.value) {
        Some(other) => Err(Refusal::malformed(format!(
            "line {} contradicts line {}: one `a={name}` is allowed in a section",
            other.number, first.number
        ))),
        None => Ok(Some(first.value)),
    }
}

pub(crate) fn has(lines: &[Line], name: &str) -> bool {
    attributes(lines, name).next().is_some()
}

/// A token of RFC 8866, as a mid has to be.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&byte))
}

/// Visible ASCII, spaces allowed: what may stand in an identifier that is passed on.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
