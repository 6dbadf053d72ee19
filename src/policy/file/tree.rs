//! A TOML document as a tree in file order, every key and value with its place.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Bytes of the text that something stands at.
pub(super) type Span = Range<usize>;

/// A value with the place it was written at.
#[derive(Clone, Debug)]
pub(super) struct Sp<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<T> Sp<T> {
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Sp<U> {
        Sp { value: f(self.value), span: self.span }
    }
}

/// What stands behind a key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// `None` for a number beyond 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    Array(Vec<Sp<Value>>),
    Table(Table),
    /// A float or a date: no key takes one.
    Other(&'static str),
}

impl Value {
    /// Its type in an administrator's words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// A table's entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Sp<String>,
    pub(super) value: Sp<Value>,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key.value == key)
    }
}

/// A mistake of the TOML syntax.
pub(super) struct SyntaxError {
    pub(super) span: Span,
    pub(super) message: String,
}

/// Reads as much of a document as can be read, with every syntax error on the way.
pub(super) fn parse(text: &str) -> (Table, Vec<SyntaxError>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let end = text.len()..text.len();
    let errors = errors
        .into_iter()
        .map(|e| SyntaxError { span: e.span().unwrap_or_else(|| end.clone()), message: e.message().to_owned() })
        .collect();
    (table(document.get_ref()), errors)
}

fn table(from: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = from
        .iter()
        .map(|(key, node)| Entry { key: Sp { value: key.get_ref().to_string(), span: key.span() }, value: value(node) })
        .collect();
    entries.sort_by_key(|e| e.key.span.start);
    Table { entries }
}

fn value(node: &toml::Spanned<DeValue<'_>>) -> Sp<Value> {
    let value = match node.get_ref() {
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(i) => Value::Integer(i64::from_str_radix(i.as_str(), i.radix()).ok()),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Array(a) => Value::Array(a.iter().map(value).collect()),
        DeValue::Table(t) => Value::Table(table(t)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
    };
    Sp { value, span: node.span() }
}
