//! Directives that set one option: words to values.

use crate::action::Switch;
use crate::diagnostic::Problem;
use crate::limits;
use crate::ruleset::Settings;
use crate::span::Span;
use crate::syntax::directive::Setting;
use crate::syntax::text::Text;

/// Applies one directive; a wrong word is a problem at its place.
pub(super) fn apply(settings: &mut Settings, setting: Setting, words: &[Text], span: Span, problems: &mut Vec<Problem>) {
    if setting == Setting::ResponseBodyMimeTypesClear {
        settings.response_mime_types.clear();
        return;
    }
    let Some(first) = words.first() else {
        problems.push(Problem::error(span, "this directive needs a value"));
        return;
    };
    if words.len() > 1 && !matches!(setting, Setting::ResponseBodyMimeType | Setting::UnicodeMapFile) {
        problems.push(Problem::error(span, "this directive takes one value"));
        return;
    }
    if setting == Setting::ResponseBodyMimeType {
        settings.response_mime_types.extend(words.iter().map(|word| word.as_str().to_ascii_lowercase()));
        return;
    }
    if setting == Setting::UnicodeMapFile {
        settings.unicode_mapped = words.get(1).is_some_and(|page| page.as_str() == "20127");
    }
    if let Err(message) = set(settings, setting, first.as_str()) {
        problems.push(Problem::error(first.span(), message));
    } else if let Some(message) = remark(setting, words) {
        problems.push(Problem::warning(span, message));
    }
}

fn set(settings: &mut Settings, setting: Setting, word: &str) -> Result<(), String> {
    match setting {
        Setting::RuleEngine => settings.rule_engine = switch(word, "DetectionOnly")?,
        Setting::AuditEngine => settings.audit_engine = switch(word, "RelevantOnly")?,
        Setting::RequestBodyAccess => settings.request_body_access = Some(on_off(word)?),
        Setting::ResponseBodyAccess => settings.response_body_access = Some(on_off(word)?),
        Setting::RequestBodyLimit => settings.request_body_limit = Some(number(word, limits::BODY_BYTES_MAX)?),
        Setting::RequestBodyNoFilesLimit => settings.request_body_no_files_limit = Some(number(word, limits::BODY_BYTES_MAX)?),
        Setting::ResponseBodyLimit => settings.response_body_limit = Some(number(word, limits::BODY_BYTES_MAX)?),
        Setting::RequestBodyLimitAction => settings.request_body_limit_rejects = Some(rejects(word)?),
        Setting::ResponseBodyLimitAction => settings.response_body_limit_rejects = Some(rejects(word)?),
        Setting::RequestBodyJsonDepthLimit => settings.json_depth = number(word, 10_000)? as usize,
        Setting::ArgumentsLimit => settings.arguments_limit = number(word, 1_000_000)? as usize,
        Setting::UploadFileLimit => settings.upload_files = number(word, 100_000)? as usize,
        Setting::ArgumentSeparator => settings.argument_separator = one_byte(word)?,
        Setting::CookieV0Separator => settings.cookie_separator = one_byte(word)?,
        Setting::CookieFormat => settings.cookies_version_1 = number(word, 1)? == 1,
        Setting::CollectionTimeout => settings.collection_timeout_seconds = number(word, 100 * 365 * 86_400)?,
        Setting::ComponentSignature => settings.components.push(word.to_owned()),
        Setting::AuditLogRelevantStatus => settings.audit_relevant_status = Some(word.to_owned()),
        Setting::AuditLogParts => settings.audit_parts = word.to_owned(),
        Setting::WebAppId => settings.web_app_id = word.to_owned(),
        Setting::SensorId => settings.sensor_id = word.to_owned(),
        Setting::ParseXmlIntoArgs | Setting::TmpSaveUploadedFiles if on_off(word).unwrap_or(true) => {
            return Err("this is not supported here; remove the line, or set it to Off".to_owned());
        }
        Setting::ParseXmlIntoArgs | Setting::TmpSaveUploadedFiles => {}
        Setting::GeoLookupDb => settings.geo_database = Some(word.to_owned()),
        Setting::HttpBlKey => settings.http_bl_key = Some(key(word)?),
        Setting::UnicodeMapFile | Setting::ResponseBodyMimeType | Setting::ResponseBodyMimeTypesClear => {}
    }
    Ok(())
}

/// What is worth a warning although the value is right.
fn remark(setting: Setting, words: &[Text]) -> Option<String> {
    let code_page = words.get(1).map(Text::as_str);
    if setting == Setting::UnicodeMapFile && code_page != Some("20127") {
        return Some("only code page 20127 is known here, so t:urlDecodeUni keeps the lower byte of %uHHHH".to_owned());
    }
    None
}

fn switch(word: &str, partly: &str) -> Result<Switch, String> {
    match word.to_ascii_lowercase() {
        word if word == "on" => Ok(Switch::On),
        word if word == "off" => Ok(Switch::Off),
        word if word == partly.to_ascii_lowercase() => Ok(Switch::Partly),
        _ => Err(format!("`{word}` is none of On, Off and {partly}")),
    }
}

fn on_off(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{word}` is neither On nor Off")),
    }
}

fn rejects(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "reject" => Ok(true),
        "processpartial" => Ok(false),
        _ => Err(format!("`{word}` is neither Reject nor ProcessPartial")),
    }
}

fn number(word: &str, most: u64) -> Result<u64, String> {
    word.parse::<u64>().ok().filter(|number| *number <= most).ok_or_else(|| format!("`{word}` is not a number from 0 to {most}"))
}

/// A key of Project Honey Pot: twelve letters.
fn key(word: &str) -> Result<String, String> {
    let right = word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    right.then(|| word.to_owned()).ok_or_else(|| format!("`{word}` is not a key, which has twelve small letters"))
}

fn one_byte(word: &str) -> Result<u8, String> {
    match word.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(format!("`{word}` is not a single character")),
    }
}
