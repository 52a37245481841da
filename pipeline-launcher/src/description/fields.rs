//! Reads the fields of a TOML table, remembering where each stood and reporting what is wrong with it.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, did_you_mean};

pub struct Fields<'t, 'p, 's> {
    table: &'t DeTable<'t>,
    /// Dotted path of the table; empty for the file's root.
    path: String,
    span: Range<usize>,
    known: Vec<&'static str>,
    pub problems: &'p mut Problems<'s>,
}

/// A value and where it stood.
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<'t, 'p, 's> Fields<'t, 'p, 's> {
    pub fn new(table: &'t Spanned<DeTable<'t>>, problems: &'p mut Problems<'s>) -> Self {
        Self {
            table: table.get_ref(),
            path: String::new(),
            span: table.span(),
            known: Vec::new(),
            problems,
        }
    }

    /// A field's dotted path.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Where the table stood, for what is missing in it.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    pub fn required<T>(&mut self, name: &str, value: Option<T>, example: &str) -> Option<T> {
        if value.is_none() && !self.has(name) {
            let (span, field) = (self.span(), self.path_of(name));
            self.problems
                .error_with_hint(span, field, "is missing", Some(format!("for example: {example}")));
        }
        value
    }

    pub fn text(&mut self, name: &'static str) -> Option<At<String>> {
        self.read(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub fn integer(&mut self, name: &'static str) -> Option<At<i64>> {
        self.read(name, "an integer", integer)
    }

    pub fn boolean(&mut self, name: &'static str) -> Option<At<bool>> {
        self.read(name, "true or false", |value| value.as_bool())
    }

    pub fn texts(&mut self, name: &'static str) -> Option<At<Vec<String>>> {
        self.read(name, "an array of texts", |value| {
            value
                .as_array()?
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect()
        })
    }

    /// One text or several, each with its place.
    pub fn text_or_texts(&mut self, name: &'static str) -> Option<At<Vec<At<String>>>> {
        let text = |value: &DeValue<'_>, span| {
            let value = value.as_str()?.to_owned();
            Some(At { value, span })
        };
        let span = self.table.get(name).map_or(0..0, Spanned::span);
        self.read(name, "a text or an array of texts", |value| {
            if let Some(one) = text(value, span) {
                return Some(vec![one]);
            }
            let items = value.as_array()?.iter();
            items.map(|item| text(item.get_ref(), item.span())).collect()
        })
    }

    /// A plain value, as JSON would have it.
    pub fn scalar(&mut self, name: &'static str) -> Option<At<Value>> {
        self.read(name, "a text, a finite number or a boolean", |value| {
            value
                .as_str()
                .map(Value::from)
                .or_else(|| value.as_bool().map(Value::from))
                .or_else(|| integer(value).map(Value::from))
                .or_else(|| {
                    value
                        .as_float()
                        .and_then(|f| f.as_str().parse::<f64>().ok())
                        .filter(|number| number.is_finite())
                        .map(Value::from)
                })
        })
    }

    /// The names and spans of a table of tables, such as `[params.*]`.
    pub fn tables(&mut self, name: &'static str) -> Vec<(String, Range<usize>)> {
        let table = self.read(name, "a table", |value| {
            let names = value.as_table()?.keys();
            Some(names.map(|key| (key.get_ref().to_string(), key.span())).collect())
        });
        table.map_or_else(Vec::new, |table| table.value)
    }

    /// Reads the table `name` of this one with `read`, then reports the fields that `read` did not ask for.
    pub fn table<T>(&mut self, names: &[&str], read: impl FnOnce(&mut Fields<'t, '_, 's>) -> T) -> Option<T> {
        let (mut table, mut span, mut path) = (self.table, self.span(), self.path.clone());
        for name in names {
            let value = table.get(*name)?;
            path = if path.is_empty() {
                (*name).to_owned()
            } else {
                format!("{path}.{name}")
            };
            let Some(inner) = value.get_ref().as_table() else {
                self.problems.error(value.span(), path, "is not a table");
                return None;
            };
            (table, span) = (inner, value.span());
        }
        let mut fields = Fields {
            table,
            path,
            span,
            known: Vec::new(),
            problems: &mut *self.problems,
        };
        let result = read(&mut fields);
        fields.finish();
        Some(result)
    }

    pub fn allow(&mut self, name: &'static str) {
        self.known.push(name);
    }

    /// Reports the fields that nobody asked for.
    pub fn finish(&mut self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let hint = did_you_mean(name, self.known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", self.known.join(", ")));
                let field = self.path_of(name);
                self.problems
                    .error_with_hint(key.span(), field, "is not a field of this table", Some(hint));
            }
        }
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        convert: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<At<T>> {
        self.known.push(name);
        let value = self.table.get(name)?;
        let converted = convert(value.get_ref());
        if converted.is_none() {
            let message = format!("is {}, not {expected}", described(value.get_ref()));
            let field = self.path_of(name);
            self.problems.error(value.span(), field, message);
        }
        converted.map(|inner| At {
            value: inner,
            span: value.span(),
        })
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(float) if float.as_str().ends_with(['f', 'n']) => "inf or nan",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array (or its items are not texts)",
        DeValue::Table(_) => "a table",
    }
}
