//! What each variable holds at this moment of the transaction.

use bytes::Bytes;

use super::Transaction;
use super::request::first;
use super::time::moment;
use crate::body::xml;
use crate::expand::{Macro, Template};
use crate::latest::LatestName;
use crate::ruleset::List;
use crate::target::{Selector, Target};
use crate::tx::decimal;
use crate::value::Entry;
use crate::variable::Variable as V;
use crate::verdict::Cause;

impl Transaction {
    /// Fills in a template. A cut at the limit is recorded.
    pub(crate) fn expand(&mut self, template: &Template) -> Bytes {
        let (text, cut) = match template.whole(|one| self.macro_value(one)) {
            Some(whole) => whole,
            None => {
                let mut arena = std::mem::take(&mut self.state.arena);
                let filled = template.filled(|one, out| self.write_macro(one, out), |text| arena.keep(text));
                self.state.arena = arena;
                filled
            }
        };
        if cut {
            let rule = self.current_id();
            self.error(Cause::Limit, rule, "an expansion of macros was cut at its limit");
        }
        text
    }

    /// The same for messages, of which a record keeps the beginning anyway.
    pub(crate) fn expand_for_record(&self, template: &Template) -> Bytes {
        template.expand(|one| self.macro_value(one)).0
    }

    pub(crate) fn macro_value(&self, one: &Macro) -> Option<Bytes> {
        let Some(name) = &one.name else { return self.scalar(one.variable) };
        match one.variable {
            V::Tx => self.tx_value(name.as_bytes()).cloned(),
            V::Rule => self.rule_fact(name),
            variable => {
                let mut found = None;
                self.each(variable, &mut |entry_name, value| {
                    if found.is_none() && entry_name.eq_ignore_ascii_case(name.as_bytes()) {
                        found = Some(value.clone());
                    }
                });
                found
            }
        }
    }

    fn write_macro(&self, one: &Macro, out: &mut Vec<u8>) {
        match (one.variable, &one.name) {
            (V::Tx, Some(name)) => out.extend_from_slice(self.tx_value(name.as_bytes()).map_or(&[], |value| value)),
            _ => out.extend_from_slice(&self.macro_value(one).unwrap_or_default()),
        }
    }

    fn tx_value(&self, name: &[u8]) -> Option<&Bytes> {
        match name {
            // The captures have the first places.
            [digit @ b'0'..=b'9'] => self.state.tx.at(u32::from(digit - b'0')),
            name => self.state.tx.get(name),
        }
    }

    /// The full name of what matched last.
    pub(crate) fn matched_name(&self) -> Option<Bytes> {
        match &self.state.matched.as_ref()?.name {
            LatestName::Given(name) => Some(name.clone()),
            LatestName::Of(variable, name) => Some(full_name(*variable, name)),
            LatestName::Counted(rule) => {
                let target = self.rules.rules().get(*rule as usize)?.links.first()?.targets.first()?;
                Some(target.counted_name())
            }
            LatestName::Tx(place) => Some(full_name(V::Tx, self.rules.tx_names().name(*place)?)),
        }
    }

    pub(crate) fn current_id(&self) -> Option<u64> {
        let index = self.state.current_rule? as usize;
        self.rules.rules().get(index).map(|rule| rule.id)
    }

    fn rule_fact(&self, name: &str) -> Option<Bytes> {
        let rule = self.rules.rules().get(self.state.current_rule? as usize)?;
        let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        match name.to_ascii_lowercase().as_str() {
            "id" => Some(rule.id.to_string().into()),
            "msg" => rule.message.as_ref().map(|message| message.expand(|one| (one.variable != V::Rule).then(|| self.macro_value(one))?).0),
            "logdata" => rule.data.as_ref().map(|data| data.expand(|one| (one.variable != V::Rule).then(|| self.macro_value(one))?).0),
            "severity" => rule.severity.map(|severity| severity.to_string().into()),
            "rev" => rule.revision.as_deref().and_then(text),
            "ver" => rule.version.as_deref().and_then(text),
            _ => None,
        }
    }

    /// The values a target picks, each with its name inside the collection (empty for a variable with one value).
    pub(crate) fn pick(&self, target: &Target) -> Vec<Entry> {
        if !target.variable.is_collection() {
            return self.scalar(target.variable).map(|value| Entry::new(Bytes::new(), value)).into_iter().collect();
        }
        if target.variable == V::Xml {
            return match &target.selector {
                Some(Selector::XmlPath(path, name)) => self.follow(path, name),
                Some(Selector::XmlAttributes) => {
                    self.found.xml_attributes.iter().map(|a| Entry::new(&b"//@*"[..], a.value.clone())).collect()
                }
                _ => self.found.xml_text.iter().map(|text| Entry::new(&b"/*"[..], text.clone())).collect(),
            };
        }
        match (target.variable, &target.selector) {
            (V::Tx, Some(Selector::Name(name))) => return self.state.tx.entry(name).into_iter().collect(),
            (V::Tx, Some(selector)) => {
                let pattern = if let Selector::Pattern(_, text) = selector { Some(text) } else { None };
                let found = self.state.tx.matching(pattern, |name| selector.picks(name));
                return found.map(|(name, value)| Entry { name: name.clone(), value: value.clone() }).collect();
            }
            _ => {}
        }
        let mut entries = Vec::new();
        self.each(target.variable, &mut |name, value| {
            if target.selector.as_ref().is_none_or(|selector| selector.picks(name)) {
                entries.push(Entry { name: name.clone(), value: value.clone() });
            }
        });
        entries
    }

    /// Visits the values a target picks, those of TX in no order.
    pub(crate) fn each_picked(&self, target: &Target, visit: &mut dyn FnMut(&Bytes, &Bytes)) {
        match (target.variable, &target.selector) {
            (V::Tx, Some(selector @ Selector::Pattern(_, text))) => {
                self.state.tx.each_matching(Some(text), |name| selector.picks(name), visit);
            }
            _ => self.pick(target).iter().for_each(|entry| visit(&entry.name, &entry.value)),
        }
    }

    /// The values that a path selects in an XML body, all by the path's name.
    fn follow(&self, path: &xml::Path, name: &str) -> Vec<Entry> {
        let attributes = &self.found.xml_attributes;
        let value = |index: usize| attributes.get(index).map(|entry| entry.value.as_ref());
        let (text, name) = (self.found.xml_text.clone().unwrap_or_default(), Bytes::copy_from_slice(name.as_bytes()));
        let selected = self.found.xml_document.select(path, value).into_iter().filter_map(|one| match one {
            xml::Selected::Text(range) => text.get(range.clone()).map(|_| text.slice(range)),
            xml::Selected::Attribute(index) => attributes.get(index).map(|entry| entry.value.clone()),
        });
        selected.map(|value| Entry::new(name.clone(), value)).collect()
    }

    /// Visits the entries of a collection.
    pub(crate) fn each(&self, variable: V, visit: &mut dyn FnMut(&Bytes, &Bytes)) {
        let request = &self.request;
        let mut values = |entries: &[Entry]| entries.iter().for_each(|entry| visit(&entry.name, &entry.value));
        match variable {
            V::Args => {
                values(&request.args_get);
                values(&request.args_post);
            }
            V::ArgsGet => values(&request.args_get),
            V::ArgsPost => values(&request.args_post),
            V::RequestCookies => values(&request.cookies),
            V::RequestHeaders => values(&request.headers),
            V::ResponseHeaders => values(&self.response.headers),
            V::Files => values(&self.found.files),
            V::FilesTmpContent => values(&self.found.file_contents),
            V::MultipartPartHeaders => values(&self.found.part_headers),
            V::MultipartFilename => values(&self.found.files),
            V::MultipartName => values(&self.found.part_names),
            V::Geo => values(&self.state.geo),
            V::Tx => self.state.tx.iter().for_each(|(name, value)| visit(name, value)),
            V::Env => self.state.env.iter().for_each(|entry| visit(&entry.name, &entry.value)),
            V::MatchedVars => self.state.matched_vars.iter().for_each(|(name, value)| visit(name, value)),
            V::MatchedVarsNames => self.state.matched_vars.iter().for_each(|(name, _)| visit(name, name)),
            V::Ip | V::Session | V::User | V::Global | V::Resource => {
                let entries = self.state.open.get(&variable).into_iter().flat_map(|record| record.table.iter());
                entries.for_each(|entry| visit(&entry.name, &entry.value));
            }
            V::Rule => ["id", "msg", "logdata", "severity", "rev", "ver"].into_iter().for_each(|name| {
                if let Some(value) = self.rule_fact(name) {
                    visit(&Bytes::from_static(name.as_bytes()), &value);
                }
            }),
            _ => self.each_name(variable, visit),
        }
    }

    /// The collections whose values are names or sizes of another.
    fn each_name(&self, variable: V, visit: &mut dyn FnMut(&Bytes, &Bytes)) {
        let request = &self.request;
        let mut names = |entries: &[Entry]| entries.iter().for_each(|entry| visit(&entry.name, &entry.name));
        match variable {
            V::ArgsNames => {
                names(&request.args_get);
                names(&request.args_post);
            }
            V::ArgsGetNames => names(&request.args_get),
            V::ArgsPostNames => names(&request.args_post),
            V::RequestCookiesNames => names(&request.cookies),
            V::RequestHeadersNames => names(&request.headers),
            V::ResponseHeadersNames => names(&self.response.headers),
            V::FilesNames => names(&self.found.files),
            V::FilesSizes => {
                let sizes = self.found.files.iter().zip(&self.found.file_sizes);
                sizes.for_each(|(file, size)| visit(&file.name, &size.to_string().into()));
            }
            _ => {}
        }
    }

    /// The one value of a variable that is no collection; none where the manual says it is not set.
    pub(crate) fn scalar(&self, variable: V) -> Option<Bytes> {
        let request = &self.request;
        Some(match variable {
            V::ArgsCombinedSize => {
                let entries = request.args_get.iter().chain(&request.args_post);
                number(entries.map(|entry| entry.name.len() + entry.value.len()).sum())
            }
            V::AuthType => {
                // Credentials that nobody has looked at are no login.
                let value = self.user.as_ref().and_then(|_| first(&request.headers, b"authorization"))?;
                value.slice_ref(value.split(|byte| *byte == b' ').next().unwrap_or_default())
            }
            V::FilesCombinedSize => self.found.file_sizes.iter().sum::<u64>().to_string().into(),
            V::FullRequest | V::FullRequestLength => {
                let whole = self.full_request();
                if variable == V::FullRequest { whole } else { number(whole.len()) }
            }
            V::InboundDataError => flag(request.body_cut),
            V::OutboundDataError => flag(self.response.body_cut),
            V::QueryString => request.query.clone(),
            V::ReqbodyError | V::ReqbodyProcessorError => flag(self.found.error.is_some()),
            V::ReqbodyErrorMsg | V::ReqbodyProcessorErrorMsg => self.found.error.clone().unwrap_or_default(),
            V::ReqbodyProcessor => Bytes::from_static(request.processor.as_bytes()),
            V::RequestBasename => {
                let start = request.filename.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
                request.filename.slice(start..)
            }
            V::RequestBody => {
                let shown = request.processor == "URLENCODED" || request.processor.is_empty() && request.force_body;
                request.body.clone().filter(|body| shown && !body.is_empty())?
            }
            V::RequestBodyLength => number(request.body.as_ref().map_or(0, Bytes::len)),
            V::RequestFilename => request.filename.clone(),
            V::RequestLine => request.line.clone(),
            V::RequestMethod => request.method.clone(),
            V::RequestProtocol => request.protocol.clone(),
            V::RequestUri => request.uri.clone(),
            V::RequestUriRaw => request.uri_raw.clone(),
            V::StreamInputBody => request.body.clone()?,
            V::UrlencodedError => flag(request.query_error || self.found.url_encoded_error),
            _ => return self.scalar_of_state(variable).or_else(|| self.scalar_of_others(variable)),
        })
    }

    fn scalar_of_state(&self, variable: V) -> Option<Bytes> {
        Some(match variable {
            V::HighestSeverity => number(self.state.highest_severity.unwrap_or(255).into()),
            V::MatchedVar => self.state.matched.as_ref()?.value.clone(),
            V::MatchedVarName => self.matched_name()?,
            V::Sessionid => self.state.session_id.clone(),
            V::Userid => self.state.user_id.clone(),
            V::MscPcreError | V::MscPcreLimitsExceeded => self.state.tx.get(variable.name().as_bytes()).cloned()?,
            V::Webappid => Bytes::copy_from_slice(self.rules.settings().web_app_id.as_bytes()),
            V::Duration => self.now.saturating_sub(self.started).to_string().into(),
            V::UniqueId => self.unique_id.clone(),
            V::Time | V::TimeDay | V::TimeEpoch | V::TimeHour | V::TimeMin | V::TimeMon | V::TimeSec | V::TimeWday | V::TimeYear => {
                let at = moment(self.now);
                let text = match variable {
                    V::TimeDay => at.day.to_string(),
                    V::TimeEpoch => at.epoch.to_string(),
                    V::TimeHour => at.hour.to_string(),
                    V::TimeMin => at.minute.to_string(),
                    V::TimeMon => (at.month - 1).to_string(),
                    V::TimeSec => at.second.to_string(),
                    V::TimeWday => at.weekday.to_string(),
                    V::TimeYear => at.year.to_string(),
                    _ => format!("{:02}:{:02}:{:02}", at.hour, at.minute, at.second),
                };
                text.into()
            }
            _ => return None,
        })
    }

    fn scalar_of_others(&self, variable: V) -> Option<Bytes> {
        let address = |end: &Option<(std::net::IpAddr, u16)>| end.map(|(address, _)| Bytes::from(address.to_string()));
        let port = |end: &Option<(std::net::IpAddr, u16)>| end.map(|(_, port)| Bytes::from(port.to_string()));
        let response = &self.response;
        match variable {
            V::RemoteAddr | V::RemoteHost | V::UseragentIp => address(&self.client),
            V::RemotePort => port(&self.client),
            V::RemoteUser => self.user.clone(),
            V::ServerAddr => address(&self.server),
            V::ServerPort => port(&self.server),
            V::ServerName => first(&self.request.headers, b"host").map(without_port),
            V::ModsecBuild => Some(Bytes::from_static(b"020909000")),
            V::ResponseBody | V::StreamOutputBody => response.body.clone(),
            V::ResponseContentLength => Some(match first(&response.headers, b"content-length") {
                Some(length) => length.clone(),
                None => number(response.body.as_ref().map_or(0, Bytes::len)),
            }),
            V::ResponseContentType => first(&response.headers, b"content-type").cloned(),
            V::ResponseProtocol => Some(response.protocol.clone()),
            V::ResponseStatus => Some(number(response.status.into())),
            V::StatusLine => Some(Bytes::from([response.protocol.as_ref(), b" ", response.status.to_string().as_bytes()].concat())),
            _ => self.multipart_flag(variable).map(|value| number(value.into())),
        }
    }

    fn multipart_flag(&self, variable: V) -> Option<u8> {
        let flags = self.found.multipart.unwrap_or_default();
        Some(match variable {
            V::MultipartUnmatchedBoundary => flags.unmatched_boundary,
            V::MultipartStrictError => u8::from(flags.strict_error() || self.found.multipart_failed),
            V::MultipartBoundaryQuoted => flags.boundary_quoted.into(),
            V::MultipartBoundaryWhitespace => flags.boundary_whitespace.into(),
            V::MultipartCrlfLfLines => flags.crlf_lf_lines().into(),
            V::MultipartDataAfter => flags.data_after.into(),
            V::MultipartDataBefore => flags.data_before.into(),
            V::MultipartFileLimitExceeded => flags.file_limit_exceeded.into(),
            V::MultipartHeaderFolding => flags.header_folding.into(),
            V::MultipartInvalidHeaderFolding => flags.invalid_header_folding.into(),
            V::MultipartInvalidPart => flags.invalid_part.into(),
            V::MultipartInvalidQuoting => flags.invalid_quoting.into(),
            V::MultipartLfLine => flags.lf_line.into(),
            V::MultipartMissingSemicolon | V::MultipartSemicolonMissing => flags.missing_semicolon.into(),
            _ => return None,
        })
    }

    fn full_request(&self) -> Bytes {
        let mut whole = self.request.line.to_vec();
        whole.extend_from_slice(b"\r\n");
        for header in &self.request.headers {
            for piece in [header.name.as_ref(), b": ", header.value.as_ref(), b"\r\n"] {
                whole.extend_from_slice(piece);
            }
        }
        whole.extend_from_slice(b"\r\n");
        whole.extend_from_slice(self.request.body.as_deref().unwrap_or_default());
        whole.into()
    }
}

/// The name of a value: with that of its collection.
pub(crate) fn full_name(variable: V, name: &Bytes) -> Bytes {
    if variable.is_collection() {
        return Bytes::from([variable.name().as_bytes(), b":", name].concat());
    }
    Bytes::from_static(variable.name().as_bytes())
}

fn number(number: usize) -> Bytes {
    decimal(number as i64)
}

fn flag(set: bool) -> Bytes {
    Bytes::from_static(if set { b"1" } else { b"0" })
}

fn without_port(host: &Bytes) -> Bytes {
    let bracket = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if colon > bracket => host.slice(..colon),
        _ => host.clone(),
    }
}

impl Transaction {
    /// A list that columns are made of.
    pub(crate) fn list(&self, list: List) -> &[Entry] {
        match list {
            List::ArgsGet => &self.request.args_get,
            List::ArgsPost => &self.request.args_post,
            List::Cookies => &self.request.cookies,
            List::RequestHeaders => &self.request.headers,
            List::ResponseHeaders => &self.response.headers,
        }
    }

    /// The value of a target whose variable has only one: some where it is such a variable.
    pub(super) fn scalar_of(&self, target: &Target) -> Option<Option<Bytes>> {
        (!target.variable.is_collection()).then(|| self.scalar(target.variable))
    }

    /// How many values a target has, without making a list of them where that is easy. None where it is not.
    pub(crate) fn count(&self, target: &Target) -> Option<usize> {
        let Some(Selector::Name(name)) = &target.selector else { return None };
        let named = |entries: &[Entry]| entries.iter().filter(|entry| entry.name.eq_ignore_ascii_case(name)).count();
        Some(match target.variable {
            V::Tx => usize::from(self.state.tx.get(name).is_some()),
            V::RequestHeaders => named(&self.request.headers),
            V::ResponseHeaders => named(&self.response.headers),
            _ => return None,
        })
    }
}
