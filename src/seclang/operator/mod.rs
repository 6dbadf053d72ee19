//! Operators: what decides whether a rule matches a value. Each is built once, when rules are compiled.

mod addresses;
mod begins_with;
mod captures;
mod contains;
mod contains_word;
mod detect_sqli;
mod detect_xss;
mod ends_with;
mod ip_match;
mod ip_match_from_file;
mod libinjection;
mod number;
mod pm;
mod pm_from_file;
mod rbl;
mod refused;
mod rx;
mod str_eq;
mod str_match;
mod validate_byte_range;
mod validate_url_encoding;
mod validate_utf8_encoding;
mod verify;
mod verify_cc;
mod verify_cpf;
mod verify_ssn;
mod verify_svnr;
mod within;

pub use addresses::Addresses;
pub use captures::Captures;
pub use pm::Pm;
pub use rbl::Rbl;
pub use rx::Rx;
pub use str_match::StrMatch;
pub use validate_byte_range::ByteRange;
pub use verify::Verify;

use crate::source::FileSource;

/// Every operator name that compiles, in the manual's spelling.
const NAMES: &[&str] = &[
    "beginsWith",
    "contains",
    "containsWord",
    "detectSQLi",
    "detectXSS",
    "endsWith",
    "eq",
    "ge",
    "geoLookup",
    "gt",
    "ipMatch",
    "ipMatchF",
    "ipMatchFromFile",
    "le",
    "lt",
    "noMatch",
    "pm",
    "pmf",
    "pmFromFile",
    "rbl",
    "rx",
    "rxGlobal",
    "streq",
    "strmatch",
    "unconditionalMatch",
    "validateByteRange",
    "validateUrlEncoding",
    "validateUtf8Encoding",
    "verifyCC",
    "verifyCPF",
    "verifySSN",
    "verifySVNR",
    "within",
];

/// The answer of an operator, before a rule's `!` turns it round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The value does not match.
    No,
    /// The value matches.
    Yes,
    /// A bound was hit, or the operator cannot run by itself; says which. Not a verdict on the value.
    Error(String),
}

impl From<bool> for Matched {
    fn from(matched: bool) -> Self {
        if matched { Self::Yes } else { Self::No }
    }
}

/// What an operator needs from outside before it can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it looks at the value alone.
    None,
    /// A name resolved: [`Operator::dns_name`].
    Dns,
    /// A database of addresses and countries.
    Geo,
}

/// One operator with its argument, ready to look at values. Arguments that may hold macros are kept as they were
/// written; the text after expansion comes with each call.
#[derive(Debug)]
pub enum Operator {
    /// `@beginsWith`
    BeginsWith(Box<[u8]>),
    /// `@contains`
    Contains(Box<[u8]>),
    /// `@containsWord`
    ContainsWord(Box<[u8]>),
    /// `@detectSQLi`
    DetectSqli,
    /// `@detectXSS`
    DetectXss,
    /// `@endsWith`
    EndsWith(Box<[u8]>),
    /// `@eq`
    Eq(Box<[u8]>),
    /// `@ge`
    Ge(Box<[u8]>),
    /// `@geoLookup`
    GeoLookup,
    /// `@gt`
    Gt(Box<[u8]>),
    /// `@ipMatch`, `@ipMatchFromFile`
    IpMatch(Addresses),
    /// `@le`
    Le(Box<[u8]>),
    /// `@lt`
    Lt(Box<[u8]>),
    /// `@noMatch`
    NoMatch,
    /// `@pm`, `@pmFromFile`
    Pm(Pm),
    /// `@rbl`
    Rbl(Rbl),
    /// `@rx`
    Rx(Rx),
    /// `@rxGlobal`
    RxGlobal(Rx),
    /// `@streq`
    StrEq(Box<[u8]>),
    /// `@strmatch`
    StrMatch(Box<StrMatch>),
    /// `@unconditionalMatch`
    UnconditionalMatch,
    /// `@validateByteRange`
    ValidateByteRange(ByteRange),
    /// `@validateUrlEncoding`
    ValidateUrlEncoding,
    /// `@validateUtf8Encoding`
    ValidateUtf8Encoding,
    /// `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`
    Verify(Verify),
    /// `@within`
    Within(Box<[u8]>),
}

impl Operator {
    /// Builds the operator of that name (without `@`, in any case). `argument` is the text as it stands in the
    /// rule; `files` gives the files it names, relative to the rule file `rule_path`.
    ///
    /// # Errors
    ///
    /// A sentence saying why there is no such operator, why it is refused, or what is wrong with its argument.
    pub fn compile(name: &str, argument: &str, files: &dyn FileSource, rule_path: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let bytes = || Box::from(argument.as_bytes());
        if has_macro(argument) && !Self::takes_macros(name) && NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(format!(
                "@{name} is prepared when rules are loaded and takes no macros such as %{{tx.name}}; use @within, @streq or @contains"
            ));
        }
        Ok(match lower.as_str() {
            "beginswith" => Self::BeginsWith(bytes()),
            "contains" => Self::Contains(bytes()),
            "containsword" => Self::ContainsWord(bytes()),
            "detectsqli" => Self::DetectSqli,
            "detectxss" => Self::DetectXss,
            "endswith" => Self::EndsWith(bytes()),
            "eq" => Self::Eq(bytes()),
            "ge" => Self::Ge(bytes()),
            "geolookup" => Self::GeoLookup,
            "gt" => Self::Gt(bytes()),
            "ipmatch" => Self::IpMatch(ip_match::compile(argument)?),
            "ipmatchf" | "ipmatchfromfile" => Self::IpMatch(ip_match_from_file::compile(argument, files, rule_path)?),
            "le" => Self::Le(bytes()),
            "lt" => Self::Lt(bytes()),
            "nomatch" => Self::NoMatch,
            "pm" => Self::Pm(Pm::compile(argument)?),
            "pmf" | "pmfromfile" => Self::Pm(pm_from_file::compile(argument, files, rule_path)?),
            "rbl" => Self::Rbl(Rbl::compile(argument)?),
            "rx" => Self::Rx(Rx::compile(argument)?),
            "rxglobal" => Self::RxGlobal(Rx::compile(argument)?),
            "streq" => Self::StrEq(bytes()),
            "strmatch" => Self::StrMatch(Box::new(StrMatch::compile(argument))),
            "unconditionalmatch" => Self::UnconditionalMatch,
            "validatebyterange" => Self::ValidateByteRange(ByteRange::compile(argument)?),
            "validateurlencoding" => Self::ValidateUrlEncoding,
            "validateutf8encoding" => Self::ValidateUtf8Encoding,
            "verifycc" => Self::Verify(Verify::compile(argument, verify_cc::check)?),
            "verifycpf" => Self::Verify(Verify::compile(argument, verify_cpf::check)?),
            "verifyssn" => Self::Verify(Verify::compile(argument, verify_ssn::check)?),
            "verifysvnr" => Self::Verify(Verify::compile(argument, verify_svnr::check)?),
            "within" => Self::Within(bytes()),
            other => {
                return Err(refused::reason(other).map_or_else(|| format!("there is no operator @{name}"), str::to_owned));
            }
        })
    }

    /// The names of all operators that compile, in the manual's spelling.
    pub fn names() -> &'static [&'static str] {
        NAMES
    }

    /// The operators that are refused, and what to do instead.
    pub fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
        refused::REFUSED.iter().copied()
    }

    /// Whether the argument of that operator is expanded (`%{...}`) each time the rule runs.
    pub fn takes_macros(name: &str) -> bool {
        const EXPANDED: [&str; 11] =
            ["beginswith", "contains", "containsword", "endswith", "eq", "ge", "gt", "le", "lt", "streq", "within"];
        EXPANDED.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Looks at a value. `expanded` is the argument after macro expansion where it has macros, `captures` is
    /// where `TX:0` to `TX:9` go if the rule has the action `capture`; it is touched only on a match.
    pub fn matches(&self, value: &[u8], expanded: Option<&[u8]>, captures: Option<&mut Captures>) -> Matched {
        Matched::from(match self {
            Self::BeginsWith(literal) => begins_with::matches(value, expanded.unwrap_or(literal)),
            Self::Contains(literal) => contains::matches(value, expanded.unwrap_or(literal)),
            Self::ContainsWord(literal) => contains_word::matches(value, expanded.unwrap_or(literal)),
            Self::DetectSqli => return detect_sqli::matches(value, captures),
            Self::DetectXss => return detect_xss::matches(value),
            Self::EndsWith(literal) => ends_with::matches(value, expanded.unwrap_or(literal)),
            Self::Eq(literal) => number::compare(value, expanded.unwrap_or(literal)).is_eq(),
            Self::Ge(literal) => number::compare(value, expanded.unwrap_or(literal)).is_ge(),
            Self::GeoLookup => return Matched::Error("@geoLookup needs a database, which the embedder has to ask".to_owned()),
            Self::Gt(literal) => number::compare(value, expanded.unwrap_or(literal)).is_gt(),
            Self::IpMatch(addresses) => addresses.contain(value),
            Self::Le(literal) => number::compare(value, expanded.unwrap_or(literal)).is_le(),
            Self::Lt(literal) => number::compare(value, expanded.unwrap_or(literal)).is_lt(),
            Self::NoMatch => false,
            Self::Pm(phrases) => phrases.matches(value, captures),
            Self::Rbl(_) => return Matched::Error("@rbl needs a name resolved, which the embedder has to do".to_owned()),
            Self::Rx(pattern) => return pattern.matches(value, captures),
            Self::RxGlobal(pattern) => return pattern.matches_all(value, captures),
            Self::StrEq(literal) => str_eq::matches(value, expanded.unwrap_or(literal)),
            Self::StrMatch(text) => text.matches(value),
            Self::UnconditionalMatch => true,
            Self::ValidateByteRange(bytes) => bytes.matches(value),
            Self::ValidateUrlEncoding => validate_url_encoding::matches(value),
            Self::ValidateUtf8Encoding => validate_utf8_encoding::matches(value),
            Self::Verify(verify) => return verify.matches(value, captures),
            Self::Within(literal) => within::matches(value, expanded.unwrap_or(literal)),
        })
    }

    /// What has to be asked outside before the answer is known.
    pub fn needs(&self) -> Need {
        match self {
            Self::Rbl(_) => Need::Dns,
            Self::GeoLookup => Need::Geo,
            _ => Need::None,
        }
    }

    /// The name to resolve where [`Operator::needs`] says [`Need::Dns`]; any address in the answer is a match. None
    /// where there is nothing to ask, which is no match. `http_bl_key` is what `SecHttpBlKey` says.
    pub fn dns_name(&self, value: &[u8], http_bl_key: Option<&str>) -> Option<String> {
        match self {
            Self::Rbl(list) => list.query(value, http_bl_key),
            _ => None,
        }
    }

    /// Why there is nothing to ask although the value would have a name: a setting is missing.
    pub(crate) fn dns_wants(&self, http_bl_key: Option<&str>) -> Option<&'static str> {
        match self {
            Self::Rbl(list) if list.is_http_bl() && http_bl_key.is_none() => Some("the list answers only with a key: set SecHttpBlKey"),
            _ => None,
        }
    }

    /// What an address in the answer means, for `TX:0`.
    pub(crate) fn dns_meaning(&self, value: &[u8], variable: &str, answer: std::net::IpAddr) -> String {
        match self {
            Self::Rbl(list) => list.meaning(value, variable, answer),
            _ => String::new(),
        }
    }
}

/// Whether the text holds `%{name}` with a name that can be a variable's; `%{2,3}` in a pattern is none.
fn has_macro(text: &str) -> bool {
    let inside = text.split("%{").skip(1).filter_map(|rest| rest.split_once('}'));
    inside.into_iter().any(|(name, _)| name.starts_with(|first: char| first.is_ascii_alphabetic()))
}
