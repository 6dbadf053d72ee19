//! Every directive of the reference manual: what the engine does with it, or what to do instead.

use Treatment::{Elsewhere, Own as O, Refused, Setting as S};

/// How a directive is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// A directive with a syntax of its own.
    Own(Own),
    /// Sets an option of the rule set.
    Setting(Setting),
    /// Understood, without effect here; a warning says where the gateway has it.
    Elsewhere(&'static str),
    /// Refused; the help says what to do instead.
    Refused(&'static str),
}

/// Directives with a syntax of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the directives'")]
pub enum Own {
    Rule,
    Action,
    DefaultAction,
    Marker,
    Include,
    IncludeOptional,
    RemoveById,
    RemoveByTag,
    RemoveByMsg,
    UpdateTargetById,
    UpdateTargetByTag,
    UpdateTargetByMsg,
    UpdateActionById,
}

/// Directives that set one option of the rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the directives'")]
pub enum Setting {
    RuleEngine,
    RequestBodyAccess,
    RequestBodyLimit,
    RequestBodyNoFilesLimit,
    RequestBodyLimitAction,
    RequestBodyJsonDepthLimit,
    ResponseBodyAccess,
    ResponseBodyLimit,
    ResponseBodyLimitAction,
    ResponseBodyMimeType,
    ResponseBodyMimeTypesClear,
    ArgumentsLimit,
    ArgumentSeparator,
    CookieFormat,
    CookieV0Separator,
    CollectionTimeout,
    ComponentSignature,
    UnicodeMapFile,
    UploadFileLimit,
    AuditEngine,
    AuditLogRelevantStatus,
    AuditLogParts,
    WebAppId,
    SensorId,
    ParseXmlIntoArgs,
    TmpSaveUploadedFiles,
    GeoLookupDb,
    HttpBlKey,
}

const AUDIT: &str = "the gateway writes one audit trail for everything: see `[audit]` in gateway.toml";
const LOG: &str = "the gateway has one operational log: see `[log]` in gateway.toml";
const MEMORY: &str = "bodies are held in memory under the limits of gateway.toml; nothing is written to disk";
const PCRE: &str = "patterns run in linear time here, so they need no such limit";
const CONNECTIONS: &str = "connections are limited in gateway.toml";
const HASH: &str = "link protection is not part of this engine; sign links in the application";
const PDF: &str = "browsers no longer have this weakness: remove the line";
const STREAM: &str = "STREAM_INPUT_BODY and STREAM_OUTPUT_BODY always show the buffered body";
const SCRIPT: &str = "write the check as rules: a gateway runs no code from rule files";

/// All directives with their treatment.
#[rustfmt::skip]
pub const DIRECTIVES: &[(&str, Treatment)] = &[
    ("SecRule", O(Own::Rule)), ("SecAction", O(Own::Action)), ("SecDefaultAction", O(Own::DefaultAction)), ("SecMarker", O(Own::Marker)),
    ("Include", O(Own::Include)), ("IncludeOptional", O(Own::IncludeOptional)), ("SecRuleRemoveById", O(Own::RemoveById)),
    ("SecRuleRemoveByTag", O(Own::RemoveByTag)), ("SecRuleRemoveByMsg", O(Own::RemoveByMsg)),
    ("SecRuleUpdateTargetById", O(Own::UpdateTargetById)), ("SecRuleUpdateTargetByTag", O(Own::UpdateTargetByTag)),
    ("SecRuleUpdateTargetByMsg", O(Own::UpdateTargetByMsg)), ("SecRuleUpdateActionById", O(Own::UpdateActionById)),
    ("SecRuleEngine", S(Setting::RuleEngine)), ("SecRequestBodyAccess", S(Setting::RequestBodyAccess)),
    ("SecRequestBodyLimit", S(Setting::RequestBodyLimit)), ("SecRequestBodyNoFilesLimit", S(Setting::RequestBodyNoFilesLimit)),
    ("SecRequestBodyLimitAction", S(Setting::RequestBodyLimitAction)), ("SecRequestBodyJsonDepthLimit", S(Setting::RequestBodyJsonDepthLimit)),
    ("SecResponseBodyAccess", S(Setting::ResponseBodyAccess)), ("SecResponseBodyLimit", S(Setting::ResponseBodyLimit)),
    ("SecResponseBodyLimitAction", S(Setting::ResponseBodyLimitAction)), ("SecResponseBodyMimeType", S(Setting::ResponseBodyMimeType)),
    ("SecResponseBodyMimeTypesClear", S(Setting::ResponseBodyMimeTypesClear)), ("SecArgumentsLimit", S(Setting::ArgumentsLimit)),
    ("SecArgumentSeparator", S(Setting::ArgumentSeparator)), ("SecCookieFormat", S(Setting::CookieFormat)),
    ("SecCookieV0Separator", S(Setting::CookieV0Separator)), ("SecCollectionTimeout", S(Setting::CollectionTimeout)),
    ("SecComponentSignature", S(Setting::ComponentSignature)), ("SecUnicodeMapFile", S(Setting::UnicodeMapFile)),
    ("SecUploadFileLimit", S(Setting::UploadFileLimit)), ("SecAuditEngine", S(Setting::AuditEngine)),
    ("SecAuditLogRelevantStatus", S(Setting::AuditLogRelevantStatus)), ("SecAuditLogParts", S(Setting::AuditLogParts)),
    ("SecWebAppId", S(Setting::WebAppId)), ("SecSensorId", S(Setting::SensorId)), ("SecParseXmlIntoArgs", S(Setting::ParseXmlIntoArgs)),
    ("SecTmpSaveUploadedFiles", S(Setting::TmpSaveUploadedFiles)),
    ("SecAuditLog", Elsewhere(AUDIT)), ("SecAuditLog2", Elsewhere(AUDIT)), ("SecAuditLogDirMode", Elsewhere(AUDIT)),
    ("SecAuditLogFileMode", Elsewhere(AUDIT)), ("SecAuditLogFormat", Elsewhere(AUDIT)), ("SecAuditLogPrefix", Elsewhere(AUDIT)),
    ("SecAuditLogStorageDir", Elsewhere(AUDIT)), ("SecAuditLogType", Elsewhere(AUDIT)), ("SecGuardianLog", Elsewhere(AUDIT)),
    ("SecDebugLog", Elsewhere(LOG)), ("SecDebugLogLevel", Elsewhere(LOG)), ("SecTmpDir", Elsewhere(MEMORY)), ("SecDataDir", Elsewhere(MEMORY)),
    ("SecUploadDir", Elsewhere(MEMORY)), ("SecUploadFileMode", Elsewhere(MEMORY)), ("SecUploadKeepFiles", Elsewhere(MEMORY)),
    ("SecRequestBodyInMemoryLimit", Elsewhere(MEMORY)), ("SecPcreMatchLimit", Elsewhere(PCRE)), ("SecPcreMatchLimitRecursion", Elsewhere(PCRE)),
    ("SecCacheTransformations", Elsewhere("every transformation is computed once by design")),
    ("SecStatusEngine", Elsewhere("nothing is ever reported to the outside")),
    ("SecConnEngine", Elsewhere(CONNECTIONS)), ("SecConnReadStateLimit", Elsewhere(CONNECTIONS)), ("SecConnWriteStateLimit", Elsewhere(CONNECTIONS)),
    ("SecReadStateLimit", Elsewhere(CONNECTIONS)), ("SecWriteStateLimit", Elsewhere(CONNECTIONS)),
    ("SecDisableBackendCompression", Elsewhere("the gateway decodes compressed responses before it inspects them")),
    ("SecInterceptOnError", Elsewhere("what happens on an engine error is `on_error` under `[inspection]` in gateway.toml")),
    ("SecRulePerfTime", Elsewhere("the work of all rules on a request has a bound of its own")),
    ("SecStreamInBodyInspection", Elsewhere(STREAM)), ("SecStreamOutBodyInspection", Elsewhere(STREAM)),
    ("SecUnicodeCodePage", Elsewhere("name the code page in SecUnicodeMapFile")),
    ("SecXmlExternalEntity", Elsewhere("external entities are never loaded")),
    ("SecRequestEncoding", Elsewhere("parameters are inspected as the bytes that were sent")),
    ("SecIgnoreRuleCompilationErrors", Refused("correct the rules instead: a rule that does not load protects nobody")),
    ("SecRuleScript", Refused(SCRIPT)), ("SecRuleInheritance", Refused("rules of a site are chosen in gateway.toml, `[site.inspection]`")),
    ("SecContentInjection", Refused("responses are not rewritten by rules; add the content in the application")),
    ("SecChrootDir", Refused("confine the process with its systemd unit instead")),
    ("SecServerSignature", Refused("the gateway sends no signature; set headers in gateway.toml")),
    ("SecHashEngine", Refused(HASH)), ("SecHashKey", Refused(HASH)), ("SecHashParam", Refused(HASH)), ("SecHashMethodRx", Refused(HASH)),
    ("SecHashMethodPm", Refused(HASH)), ("SecGeoLookupDb", S(Setting::GeoLookupDb)),
    ("SecGsbLookupDb", Refused("Google's service behind @gsbLookup has ended: remove the line and its rules")),
    ("SecHttpBlKey", S(Setting::HttpBlKey)),
    ("SecPdfProtect", Refused(PDF)), ("SecPdfProtectMethod", Refused(PDF)), ("SecPdfProtectSecret", Refused(PDF)),
    ("SecPdfProtectTimeout", Refused(PDF)), ("SecPdfProtectTokenName", Refused(PDF)),
    ("SecRemoteRules", Refused("fetch the rules yourself, check them, and Include the file")),
    ("SecRemoteRulesFailAction", Refused("fetch the rules yourself, check them, and Include the file")),
    ("SecDataset", Refused("put the phrases into a file and use @pmFromFile")),
];

/// Finds a directive, whatever the case.
pub fn treatment(name: &str) -> Option<Treatment> {
    DIRECTIVES.iter().find(|entry| entry.0.eq_ignore_ascii_case(name)).map(|entry| entry.1)
}
