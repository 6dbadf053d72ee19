//! The part of Go's text templates that test bodies use: literals, `repeat` and a few others in a pipeline.
//!
//! `{{ "a" | repeat 4000 }}` writes a long body in a short file. A template that is not understood is an error: go-ftw sends an
//! empty body instead, which no test means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes that a template may grow to; far above what any limit under test needs.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Fills in the templates of a body.
///
/// # Errors
/// What is not understood, in one sentence.
pub(super) fn fill(text: &str) -> Result<String, String> {
    fill_with(text, None)
}

/// The same with a value for `.Payload`.
pub(super) fn fill_with(text: &str, payload: Option<&str>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        let end = after.find("}}").ok_or("a template is opened with {{ and not closed; write {{ \"{{\" }} for the two braces")?;
        let action = &after[..end];
        let (left, action) = action.strip_prefix("- ").map_or((false, action), |a| (true, a));
        let (right, action) = action.strip_suffix(" -").map_or((false, action), |a| (true, a));
        let before = if trim { before.trim_start() } else { before };
        out.push_str(if left { before.trim_end() } else { before });
        if !action.trim_start().starts_with("/*") {
            out.push_str(&pipeline(action, payload)?);
        }
        if out.len() > BYTES_MAX {
            return Err(format!("a template makes more than {BYTES_MAX} bytes"));
        }
        trim = right;
        rest = &after[end + 2..];
    }
    out.push_str(if trim { rest.trim_start() } else { rest });
    Ok(out)
}

/// A word of an action.
#[derive(Debug)]
enum Word {
    Text(String),
    Number(usize),
    Name(String),
    Bar,
}

fn words(action: &str) -> Result<Vec<Word>, String> {
    let unknown = |at: &str| format!("the template {{{{{action}}}}} is not understood at {at:?}");
    let mut words = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '|' => {
                words.push(Word::Bar);
                1
            }
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| unknown(rest))?;
                words.push(Word::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '"' => {
                // Go's escapes inside quotes are JSON's, as far as tests use them.
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                let end = end.ok_or_else(|| unknown(rest))?;
                words.push(Word::Text(serde_json::from_str(&rest[..end + 2]).map_err(|_| unknown(rest))?));
                end + 2
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
                let word = &rest[..end];
                words.push(word.parse().map_or_else(|_| Word::Name(word.to_owned()), Word::Number));
                end
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

fn pipeline(action: &str, payload: Option<&str>) -> Result<String, String> {
    let words = words(action)?;
    let mut value: Option<String> = None;
    for command in words.split(|w| matches!(w, Word::Bar)) {
        let result = match (command, value.take()) {
            ([Word::Text(text)], None) => Some(text.clone()),
            ([Word::Number(number)], None) => Some(number.to_string()),
            ([Word::Name(name)], None) if name == ".Payload" => payload.map(str::to_owned),
            ([Word::Name(name), Word::Number(count), Word::Text(text)], None) if name == "repeat" => repeat(text, *count)?,
            ([Word::Name(name), Word::Number(count)], Some(text)) if name == "repeat" => repeat(&text, *count)?,
            ([Word::Name(name), Word::Text(text)], None) => function(name, text),
            ([Word::Name(name)], Some(text)) => function(name, &text),
            _ => None,
        };
        value = Some(result.ok_or_else(|| {
            format!("the template {{{{{action}}}}} is not understood: there are \"text\", repeat N, upper, lower, trim, b64enc, b64dec")
        })?);
    }
    value.ok_or_else(|| "a template is empty".to_owned())
}

fn repeat(text: &str, count: usize) -> Result<Option<String>, String> {
    if text.len().saturating_mul(count) > BYTES_MAX {
        return Err(format!("repeat {count} makes more than {BYTES_MAX} bytes"));
    }
    Ok(Some(text.repeat(count)))
}

fn function(name: &str, text: &str) -> Option<String> {
    match name {
        "upper" => Some(text.to_uppercase()),
        "lower" => Some(text.to_lowercase()),
        "trim" => Some(text.trim().to_owned()),
        "b64enc" => Some(STANDARD.encode(text)),
        "b64dec" => STANDARD.decode(text).ok().and_then(|b| String::from_utf8(b).ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{fill, fill_with};

    #[test]
    fn templates_write_long_bodies_and_leave_other_text_alone() {
        for (text, expected) in [
            ("a=b&c={d}", "a=b&c={d}"),
            ("x={{ \"ab\" | repeat 3 }}!", "x=ababab!"),
            ("{{ repeat 2 `\\` }}", "\\\\"),
            ("a {{- \"b\" | upper -}} c", "aBc"),
            ("{{ \"{{\" }}7*7}}", "{{7*7}}"),
            ("{{/* nothing */}}x", "x"),
            ("{{ \"\\u0041\\n\" | b64enc }}", "QQo="),
        ] {
            assert_eq!(fill(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(fill_with("q={{.Payload}}", Some("1")).as_deref(), Ok("q=1"));
    }

    #[test]
    fn a_template_that_is_not_understood_is_an_error() {
        for text in
            ["{{7*7}}", "{{ \"a\" | shout }}", "{{ .Payload }}", "{{ \"a\"", "{{}}", "{{ \"a\" | repeat 99999999999 }}", "{{ \"a }}"]
        {
            assert!(fill(text).is_err(), "{text}");
        }
    }
}
