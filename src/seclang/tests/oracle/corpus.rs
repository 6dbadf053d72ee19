//! Requests to run rules on: those of the Core Rule Set's regression tests, ordinary ones, and any that lie in a folder.

use std::path::{Path, PathBuf};

use serde_norway::Value;

/// A request as it is fed to a transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// What it is, for messages.
    #[allow(dead_code, reason = "the benchmark does not name its requests")]
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The folder with the Core Rule Set, or none; the reason is printed.
pub(crate) fn crs_folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crs");
    let folder = std::env::var_os("PORTCULLIS_CRS").map_or_else(beside, PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr, reason = "a test that skips says why")]
    {
        eprintln!("skipped: no rules in {}; set PORTCULLIS_CRS to a checkout of the Core Rule Set", folder.display());
    }
    None
}

/// The requests of all regression tests below a folder, in the order of their files.
pub(crate) fn regression_tests(folder: &Path) -> Vec<Request> {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    files.sort();
    files.iter().flat_map(|path| requests_of(path)).collect()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of tests").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

fn requests_of(path: &Path) -> Vec<Request> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let value: Value = serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut requests = Vec::new();
    for test in list(value.get("tests")) {
        for stage in list(test.get("stages")) {
            let Some(input) = stage.get("input") else { continue };
            let number = test.get("test_id").map(scalar).unwrap_or_default();
            requests.push(request(input, format!("{stem}-{number}")));
        }
    }
    requests
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_sequence).into_iter().flatten()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(word) => word.to_string(),
        _ => String::new(),
    }
}

fn request(input: &Value, name: String) -> Request {
    let text = |key: &str, default: &str| input.get(key).map_or_else(|| default.to_owned(), scalar);
    let headers = input.get("headers").and_then(Value::as_mapping);
    let mut headers: Vec<(String, String)> = headers.into_iter().flatten().map(|(name, value)| (scalar(name), scalar(value))).collect();
    let body = text("data", "");
    let has = |headers: &[(String, String)], sought: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(sought));
    if !body.is_empty() {
        if !has(&headers, "content-type") {
            headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        if !has(&headers, "content-length") {
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
    }
    let multipart = headers.iter().any(|(_, value)| value.to_ascii_lowercase().contains("multipart/form-data;"));
    let body = if multipart { body.replace('\n', "\r\n") } else { body };
    let (method, uri, version) = (text("method", "GET"), text("uri", "/"), text("version", "HTTP/1.1"));
    Request { name, method, uri, version, headers, body: body.into_bytes() }
}

const BROWSER: &[(&str, &str)] = &[
    ("Host", "shop.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://shop.example.com/catalog"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
];

const WORDS: &[&str] = &[
    "garden",
    "tools",
    "green",
    "Northfield",
    "price",
    "asc",
    "folding",
    "pruning",
    "saw",
    "order",
    "leave",
    "the",
    "parcel",
    "with",
    "neighbour",
    "please",
    "delivery",
    "in",
    "afternoon",
    "is",
    "fine",
    "thank",
    "you",
    "for",
    "quick",
    "reply",
    "Margaret",
    "Holloway",
    "14 Orchard Lane",
    "don't",
    "50%",
    "A&B",
    "C++",
    "x=1",
    "10:30",
    "2024-07-19",
    "GB123456789",
    "margaret@example.org",
    "https://example.org/a?b=c",
    "(maybe)",
    "select",
    "union",
    "or",
    "and",
    "delete",
    "file",
    "/etc",
    "cat",
    "echo",
    "café",
    "naïve",
    "#12",
    "\"quoted\"",
    "a/b",
    "..",
    "<b>",
    "{}",
    "[1]",
];

/// Numbers that follow from a seed, so that requests vary and a run can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    fn text(&mut self, words: usize) -> String {
        (0..words).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }

    fn form(&mut self, arguments: usize, words: usize) -> String {
        const NAMES: &[&str] = &[
            "category",
            "page",
            "per_page",
            "sort",
            "color",
            "size",
            "brand",
            "min_price",
            "q",
            "lang",
            "first_name",
            "email",
            "csrf",
            "message",
        ];
        let pairs = (0..arguments).map(|index| {
            let words = if index + 1 == arguments { words } else { 1 + self.below(2) };
            let value = match self.below(4) {
                0 => self.below(1_000).to_string(),
                1 => self.hex(16),
                _ => self.text(words),
            };
            format!("{}{}={}", NAMES[index % NAMES.len()], self.below(3), encoded(&value))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The shapes of ordinary requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A small GET.
    Small,
    /// A GET with fifteen arguments and cookies of 0.8 KB.
    Cookies,
    /// A form of 2 KB.
    Form,
    /// A JSON body of 10 KB with some three hundred values.
    Json,
}

/// An ordinary request; each seed gives other values.
pub(crate) fn ordinary(shape: Shape, seed: u64) -> Request {
    let mut dice = Dice::new(seed);
    let mut headers: Vec<(String, String)> = BROWSER.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers[5].1 = format!("https://shop.example.com/{}", encoded(&dice.text(1)));
    let mut request =
        Request { name: format!("{shape:?} {seed}"), method: "GET".to_owned(), version: "HTTP/1.1".to_owned(), ..Request::default() };
    match shape {
        Shape::Small => request.uri = format!("/?q={}", encoded(&dice.text(1))),
        Shape::Cookies => {
            request.uri = format!("/?{}", dice.form(15, 3));
            let seen: Vec<String> = (0..60).map(|_| (1_000 + dice.below(500)).to_string()).collect();
            let cookie = format!(
                "session={}; _ga=GA1.2.{}.1718901234; _gid=GA1.2.{}.1718901234; csrftoken={}; lang=en; theme=dark; cart={}-{}-4a6e-9c55-{}; seen={}; ab={}",
                dice.hex(128),
                dice.below(1 << 30),
                dice.below(1 << 30),
                dice.hex(64),
                dice.hex(8),
                dice.hex(4),
                dice.hex(12),
                seen.join("-"),
                dice.hex(180)
            );
            headers.push(("Cookie".to_owned(), cookie));
        }
        Shape::Form => {
            (request.method, request.uri) = ("POST".to_owned(), "/post".to_owned());
            headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
            headers.push(("Origin".to_owned(), "https://shop.example.com".to_owned()));
            request.body = dice.form(20, 180).into_bytes();
        }
        Shape::Json => {
            (request.method, request.uri) = ("POST".to_owned(), "/post".to_owned());
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            headers.push(("Origin".to_owned(), "https://shop.example.com".to_owned()));
            let items = (0..62).map(|item| {
                serde_norway::to_value(dice.text(4)).map(|note| {
                    format!(
                        "{{\"sku\": \"NF-{}\", \"name\": \"Folding pruning saw, model {item}\", \"quantity\": {}, \"price\": {}.95, \"note\": {:?}}}",
                        20_000 + dice.below(9_999), 1 + dice.below(9), dice.below(400), note.as_str().unwrap_or_default()
                    )
                })
            });
            let items: Vec<String> = items.flatten().collect();
            let head =
                "\"order\": \"2024-118273\", \"customer\": {\"name\": \"Margaret Holloway\", \"city\": \"Bristol\"}, \"express\": false";
            request.body = format!("{{{head}, \"items\": [{}]}}", items.join(", ")).into_bytes();
        }
    }
    if !request.body.is_empty() {
        headers.push(("Content-Length".to_owned(), request.body.len().to_string()));
    }
    request.headers = headers;
    request
}
