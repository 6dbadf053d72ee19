//! Values at configured paths inside JSON text, so that the serialiser can leave them out.
//!
//! The text is what a rule saw or a log line quotes: often cut, not always JSON. The scanner takes what it can: it begins at every brace
//! and bracket, keeps the path it is at, and gives up where the text stops being JSON.

use std::ops::Range;

/// Nesting followed; deeper values are judged by the path up to here.
const DEPTH_MAX: usize = 64;
/// Steps of a configured path.
const STEPS_MAX: usize = 32;

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The member of this name (lower case), or the item of this number.
    Name(String),
    /// Any member or item.
    Any,
}

/// A path as an administrator writes it: `user.cards[*].number`, `$.token`, `items.0.secret`, `*.iban`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

impl JsonPath {
    /// Understands a path.
    ///
    /// # Errors
    /// What is wrong with it, one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.strip_prefix('$').unwrap_or(text);
        let dotted = plain.replace('[', ".").replace(']', "");
        let dotted = dotted.strip_prefix('.').unwrap_or(&dotted);
        if plain.matches('[').count() != plain.matches(']').count() {
            return Err("a bracket is not closed".into());
        }
        let steps: Vec<Step> = dotted
            .split('.')
            .map(|step| match step.trim_matches(['"', '\'']) {
                "*" => Step::Any,
                name => Step::Name(name.to_lowercase()),
            })
            .collect();
        if steps.iter().any(|step| *step == Step::Name(String::new())) {
            return Err("a step of it is empty".into());
        }
        if steps.len() > STEPS_MAX {
            return Err(format!("it has more than {STEPS_MAX} steps"));
        }
        if steps.iter().all(|step| *step == Step::Any) {
            return Err("it names nothing".into());
        }
        Ok(Self { steps })
    }

    fn matches<'a>(&self, mut path: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
        path.len() == self.steps.len()
            && self.steps.iter().all(|step| match (step, path.next()) {
                (Step::Any, Some(_)) => true,
                (Step::Name(name), Some(key)) => name.as_bytes().eq_ignore_ascii_case(key),
                (_, None) => false,
            })
    }

    /// Whether a rule's variable, `ARGS:user.cards.0.number`, holds what is at this path or inside it. Rules see members of a body that is
    /// an array below the name `array`, and a form's field of the same name is taken for one too.
    pub(crate) fn holds(&self, variable: &str) -> bool {
        let Some((collection, name)) = variable.split_once(':') else { return false };
        let collection = collection.to_ascii_uppercase();
        if !collection.starts_with("ARGS") || collection.ends_with("_NAMES") {
            return false;
        }
        let steps: Vec<&[u8]> = name.split('.').map(str::as_bytes).collect();
        let begins = |steps: &[&[u8]]| steps.len() >= self.steps.len() && self.matches(steps[..self.steps.len()].iter().copied());
        begins(&steps) || steps.split_first().is_some_and(|(first, rest)| *first == b"array" && begins(rest))
    }
}

/// What the scanner is inside of.
struct Open {
    is_object: bool,
    /// The member's name, or the item's number in decimal.
    key: Vec<u8>,
    index: u64,
    /// In an object: the next string is a name.
    expects_key: bool,
    /// Where the whole value begins, if it is at a secret path.
    secret_from: Option<usize>,
}

/// Adds to `found` the values at any of `paths`.
pub(crate) fn scan(text: &[u8], paths: &[JsonPath], found: &mut Vec<Range<usize>>) {
    let mut open: Vec<Open> = Vec::new();
    let mut deeper = 0u32;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' if open.len() >= DEPTH_MAX => deeper += 1,
            b'{' | b'[' => {
                let secret = is_secret(&open, paths).then_some(at);
                let is_object = byte == b'{';
                let key = if is_object { Vec::new() } else { b"0".to_vec() };
                open.push(Open { is_object, key, index: 0, expects_key: is_object, secret_from: secret });
            }
            b'}' | b']' if deeper > 0 => deeper -= 1,
            b'}' | b']' => {
                if let Some(from) = open.pop().and_then(|open| open.secret_from) {
                    found.push(from..at + 1);
                }
            }
            b',' => {
                if let Some(inner) = open.last_mut() {
                    inner.expects_key = inner.is_object;
                    inner.index += 1;
                    if !inner.is_object {
                        inner.key = inner.index.to_string().into_bytes();
                    }
                }
            }
            b'"' if !open.is_empty() => {
                let from = at + 1;
                let end = string_end(text, from);
                let is_key = open.last().is_some_and(|inner| inner.expects_key);
                if let Some(inner) = open.last_mut().filter(|_| is_key) {
                    inner.key = text[from..end].to_vec();
                    inner.expects_key = false;
                } else if is_secret(&open, paths) && from < end {
                    found.push(from..end);
                }
                at = end;
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if open.is_empty() => {}
            _ => {
                let stop = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | b'"');
                let end = text[at..].iter().position(stop).map_or(text.len(), |length| at + length);
                if !open.last().is_some_and(|inner| inner.expects_key) {
                    if is_secret(&open, paths) {
                        found.push(at..end);
                    }
                } else if open.iter().all(|open| open.secret_from.is_none()) {
                    // No JSON: a brace in some other text.
                    open.clear();
                    deeper = 0;
                }
                at = end.max(at + 1);
                continue;
            }
        }
        at += 1;
    }
    // A text that was cut inside a secret value.
    if let Some(from) = open.iter().find_map(|open| open.secret_from) {
        found.push(from..text.len());
    }
}

fn is_secret(open: &[Open], paths: &[JsonPath]) -> bool {
    !open.is_empty() && paths.iter().any(|path| path.matches(open.iter().map(|open| open.key.as_slice())))
}

/// Where a string ends that begins at `from`: at its closing quote, or with the text.
fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn hidden(text: &str, paths: &[&str]) -> String {
        let paths: Vec<JsonPath> = paths.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
        let mut found = Vec::new();
        scan(text.as_bytes(), &paths, &mut found);
        found.sort_by_key(|range| range.start);
        let (mut out, mut at) = (String::new(), 0);
        for range in found {
            if range.start >= at {
                out.push_str(&text[at..range.start]);
                out.push('*');
            }
            at = at.max(range.end);
        }
        out + &text[at..]
    }

    #[test]
    fn values_at_the_paths_are_found_and_no_others() {
        for (text, paths, expected) in [
            (r#"{"user":{"ssn":"1-2","name":"ann"}}"#, &["user.ssn"][..], r#"{"user":{"ssn":"*","name":"ann"}}"#),
            (r#"{"USER": {"Ssn" : "a\"b"}, "ssn":"x"}"#, &["$.user.ssn"], r#"{"USER": {"Ssn" : "*"}, "ssn":"x"}"#),
            (r#"{"cards":[{"n":1},{"n":22,"m":3}]}"#, &["cards[*].n"], r#"{"cards":[{"n":*},{"n":*,"m":3}]}"#),
            (r#"{"cards":[{"n":1},{"n":22}]}"#, &["cards[1].n"], r#"{"cards":[{"n":1},{"n":*}]}"#),
            (r#"[["a","b"],["c"]]"#, &["*.0"], r#"[["a","b"],["c"]]"#.replace("\"a\"", "\"*\"").replace("\"c\"", "\"*\"").as_str()),
            (r#"{"a":{"b":{"c":1,"d":[2]}},"e":5}"#, &["a.b"], r#"{"a":{"b":*},"e":5}"#),
            (r#"{"a":{"b":{"c":1,"d":[2"#, &["a.b"], r#"{"a":{"b":*"#),
            (r#"{"a":{"b":"cut off he"#, &["a.b"], r#"{"a":{"b":"*"#),
            (r#"found {"a":true} in BODY: {"a":"x"}"#, &["a"], r#"found {"a":*} in BODY: {"a":"*"}"#),
            (r"{not json} {0} [x", &["a"], r"{not json} {0} [x"),
            (r#"{"b":"","a":"y"}"#, &["a", "b"], r#"{"b":"","a":"*"}"#),
        ] {
            assert_eq!(hidden(text, paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn a_path_that_makes_no_sense_is_told() {
        for path in ["", "$", "a..b", "a[0", "*", "*.*", &"a.".repeat(40)] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn variables_of_a_json_body_are_known_by_their_names() {
        let path = JsonPath::parse("user.cards[*].number").unwrap();
        assert!(path.holds("ARGS:user.cards.0.number") && path.holds("ARGS_POST:User.Cards.7.Number.deep"));
        assert!(!path.holds("ARGS:user.cards") && !path.holds("REQUEST_HEADERS:user.cards.0.number") && !path.holds("REQUEST_BODY"));
        assert!(!path.holds("ARGS_NAMES:user.cards.0.number"), "a name is no value");
        let path = JsonPath::parse("[*].number").unwrap();
        assert!(path.holds("ARGS:array.3.number") && path.holds("args_post:array.0.number.0"));
    }

    #[test]
    fn hostile_nesting_takes_linear_time_and_no_memory() {
        let path = [JsonPath::parse("a.b").unwrap()];
        for unit in ["{", "[", "{\"a\":", "\"", "}", ",", "{\"a\":{\"b\":"] {
            let text = unit.repeat(200_000);
            let started = std::time::Instant::now();
            scan(text.as_bytes(), &path, &mut Vec::new());
            assert!(started.elapsed().as_secs() < 10, "{unit}");
        }
    }
}
