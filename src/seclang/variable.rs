//! The variables of the language: one entry for each of the ModSecurity 2 reference manual, with the spellings of ModSecurity 3 and Coraza.

/// What an entry of the table says about a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value, or none.
    Scalar,
    /// Named values, from which `NAME:selector` picks.
    Collection,
    /// Known to the manual, but nothing a gateway ever has: never set, and a warning at load.
    NeverSet,
}

macro_rules! variables {
    ($($variant:ident $name:literal $kind:ident),* $(,)?) => {
        /// A variable of the reference manual.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names are the manual's, which explains each")]
        pub enum Variable { $($variant),* }

        const TABLE: &[(Variable, &str, Kind)] = &[$((Variable::$variant, $name, Kind::$kind)),*];
    };
}

variables! {
    Args "ARGS" Collection, ArgsCombinedSize "ARGS_COMBINED_SIZE" Scalar, ArgsGet "ARGS_GET" Collection,
    ArgsGetNames "ARGS_GET_NAMES" Collection, ArgsNames "ARGS_NAMES" Collection, ArgsPost "ARGS_POST" Collection,
    ArgsPostNames "ARGS_POST_NAMES" Collection, AuthType "AUTH_TYPE" Scalar, Duration "DURATION" Scalar, Env "ENV" Collection,
    Files "FILES" Collection, FilesCombinedSize "FILES_COMBINED_SIZE" Scalar, FilesNames "FILES_NAMES" Collection,
    FilesSizes "FILES_SIZES" Collection, FilesTmpContent "FILES_TMP_CONTENT" Collection, FilesTmpNames "FILES_TMPNAMES" NeverSet,
    FullRequest "FULL_REQUEST" Scalar, FullRequestLength "FULL_REQUEST_LENGTH" Scalar, Geo "GEO" Collection, Global "GLOBAL" Collection,
    HighestSeverity "HIGHEST_SEVERITY" Scalar, InboundDataError "INBOUND_DATA_ERROR" Scalar, Ip "IP" Collection,
    MatchedVar "MATCHED_VAR" Scalar, MatchedVarName "MATCHED_VAR_NAME" Scalar, MatchedVars "MATCHED_VARS" Collection,
    MatchedVarsNames "MATCHED_VARS_NAMES" Collection, ModsecBuild "MODSEC_BUILD" Scalar,
    MscPcreError "MSC_PCRE_ERROR" Scalar, MscPcreLimitsExceeded "MSC_PCRE_LIMITS_EXCEEDED" Scalar,
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED" Scalar, MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE" Scalar,
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES" Scalar, MultipartDataAfter "MULTIPART_DATA_AFTER" Scalar,
    MultipartDataBefore "MULTIPART_DATA_BEFORE" Scalar, MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED" Scalar,
    MultipartFilename "MULTIPART_FILENAME" Collection, MultipartHeaderFolding "MULTIPART_HEADER_FOLDING" Scalar,
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING" Scalar, MultipartInvalidPart "MULTIPART_INVALID_PART" Scalar,
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING" Scalar, MultipartLfLine "MULTIPART_LF_LINE" Scalar,
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON" Scalar, MultipartSemicolonMissing "MULTIPART_SEMICOLON_MISSING" Scalar,
    MultipartName "MULTIPART_NAME" Collection, MultipartPartHeaders "MULTIPART_PART_HEADERS" Collection,
    MultipartStrictError "MULTIPART_STRICT_ERROR" Scalar, MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY" Scalar,
    OutboundDataError "OUTBOUND_DATA_ERROR" Scalar, PathInfo "PATH_INFO" NeverSet, PerfAll "PERF_ALL" NeverSet,
    PerfCombined "PERF_COMBINED" NeverSet, PerfGc "PERF_GC" NeverSet, PerfLogging "PERF_LOGGING" NeverSet,
    PerfPhase1 "PERF_PHASE1" NeverSet, PerfPhase2 "PERF_PHASE2" NeverSet, PerfPhase3 "PERF_PHASE3" NeverSet,
    PerfPhase4 "PERF_PHASE4" NeverSet, PerfPhase5 "PERF_PHASE5" NeverSet, PerfRules "PERF_RULES" NeverSet,
    PerfSread "PERF_SREAD" NeverSet, PerfSwrite "PERF_SWRITE" NeverSet, QueryString "QUERY_STRING" Scalar,
    RemoteAddr "REMOTE_ADDR" Scalar, RemoteHost "REMOTE_HOST" Scalar, RemotePort "REMOTE_PORT" Scalar, RemoteUser "REMOTE_USER" Scalar,
    ReqbodyError "REQBODY_ERROR" Scalar, ReqbodyErrorMsg "REQBODY_ERROR_MSG" Scalar, ReqbodyProcessor "REQBODY_PROCESSOR" Scalar,
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR" Scalar, ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG" Scalar,
    RequestBasename "REQUEST_BASENAME" Scalar, RequestBody "REQUEST_BODY" Scalar, RequestBodyLength "REQUEST_BODY_LENGTH" Scalar,
    RequestCookies "REQUEST_COOKIES" Collection, RequestCookiesNames "REQUEST_COOKIES_NAMES" Collection,
    RequestFilename "REQUEST_FILENAME" Scalar, RequestHeaders "REQUEST_HEADERS" Collection,
    RequestHeadersNames "REQUEST_HEADERS_NAMES" Collection, RequestLine "REQUEST_LINE" Scalar, RequestMethod "REQUEST_METHOD" Scalar,
    RequestProtocol "REQUEST_PROTOCOL" Scalar, RequestUri "REQUEST_URI" Scalar, RequestUriRaw "REQUEST_URI_RAW" Scalar,
    Resource "RESOURCE" Collection, ResponseBody "RESPONSE_BODY" Scalar, ResponseContentLength "RESPONSE_CONTENT_LENGTH" Scalar,
    ResponseContentType "RESPONSE_CONTENT_TYPE" Scalar, ResponseHeaders "RESPONSE_HEADERS" Collection,
    ResponseHeadersNames "RESPONSE_HEADERS_NAMES" Collection, ResponseProtocol "RESPONSE_PROTOCOL" Scalar,
    ResponseStatus "RESPONSE_STATUS" Scalar, Rule "RULE" Collection, ScriptBasename "SCRIPT_BASENAME" NeverSet,
    ScriptFilename "SCRIPT_FILENAME" NeverSet, ScriptGid "SCRIPT_GID" NeverSet, ScriptGroupname "SCRIPT_GROUPNAME" NeverSet,
    ScriptMode "SCRIPT_MODE" NeverSet, ScriptUid "SCRIPT_UID" NeverSet, ScriptUsername "SCRIPT_USERNAME" NeverSet,
    SdbmDeleteError "SDBM_DELETE_ERROR" NeverSet, ServerAddr "SERVER_ADDR" Scalar, ServerName "SERVER_NAME" Scalar,
    ServerPort "SERVER_PORT" Scalar, Session "SESSION" Collection, Sessionid "SESSIONID" Scalar, StatusLine "STATUS_LINE" Scalar,
    StreamInputBody "STREAM_INPUT_BODY" Scalar, StreamOutputBody "STREAM_OUTPUT_BODY" Scalar, Time "TIME" Scalar,
    TimeDay "TIME_DAY" Scalar, TimeEpoch "TIME_EPOCH" Scalar, TimeHour "TIME_HOUR" Scalar, TimeMin "TIME_MIN" Scalar,
    TimeMon "TIME_MON" Scalar, TimeSec "TIME_SEC" Scalar, TimeWday "TIME_WDAY" Scalar, TimeYear "TIME_YEAR" Scalar, Tx "TX" Collection,
    UniqueId "UNIQUE_ID" Scalar, UrlencodedError "URLENCODED_ERROR" Scalar, User "USER" Collection, UseragentIp "USERAGENT_IP" Scalar,
    Userid "USERID" Scalar, Webappid "WEBAPPID" Scalar, WebserverErrorLog "WEBSERVER_ERROR_LOG" NeverSet, Xml "XML" Collection,
}

/// Spellings of other engines for a variable of the table.
const ALIASES: &[(&str, Variable)] = &[
    ("REQUEST_XML", Variable::Xml),
    ("FILES_TMP_NAMES", Variable::FilesTmpNames),
    ("MULTIPART_FILE_NAME", Variable::MultipartFilename),
    ("RES_BODY", Variable::ResponseBody),
    ("RESPONSE_LINE", Variable::StatusLine),
    ("SESSION_ID", Variable::Sessionid),
    ("USER_ID", Variable::Userid),
    ("WEBAPP_ID", Variable::Webappid),
    ("MATCHED_VARS_NAME", Variable::MatchedVarsNames),
    ("MULTIPART_CRLF_LINE", Variable::MultipartCrlfLfLines),
    ("STATUS", Variable::ResponseStatus),
];

impl Variable {
    /// Finds a variable by any of its spellings, whatever their case.
    pub fn parse(name: &str) -> Option<Self> {
        let own = TABLE.iter().find(|entry| entry.1.eq_ignore_ascii_case(name)).map(|entry| entry.0);
        own.or_else(|| ALIASES.iter().find(|alias| alias.0.eq_ignore_ascii_case(name)).map(|alias| alias.1))
    }

    /// The manual's spelling.
    pub fn name(self) -> &'static str {
        TABLE.get(self as usize).map_or("", |entry| entry.1)
    }

    /// What kind of variable it is.
    pub fn kind(self) -> Kind {
        TABLE.get(self as usize).map_or(Kind::Scalar, |entry| entry.2)
    }

    /// Whether its values are names or values of request headers.
    pub(crate) fn is_of_request_headers(self) -> bool {
        matches!(self, Variable::RequestHeaders | Variable::RequestHeadersNames)
    }

    /// Whether `NAME:selector` makes sense.
    pub fn is_collection(self) -> bool {
        self.kind() != Kind::Scalar
    }

    /// Whether the collection outlives the transaction (`initcol`, `setsid`, `setuid`, `setrsc`).
    pub fn is_persistent(self) -> bool {
        matches!(self, Variable::Ip | Variable::Session | Variable::Global | Variable::User | Variable::Resource)
    }

    /// Spellings of other engines, and the variable each means.
    pub fn aliases() -> impl Iterator<Item = (&'static str, Variable)> {
        ALIASES.iter().copied()
    }

    /// All spellings, for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|entry| entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_found_by_its_own_name_in_any_case() {
        for (index, (variable, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*variable as usize, index);
            assert_eq!(Variable::parse(&name.to_lowercase()), Some(*variable));
            assert_eq!(variable.name(), *name);
        }
        assert_eq!(Variable::parse("REQUEST_XML"), Some(Variable::Xml));
        assert_eq!(Variable::parse("ARG"), None);
    }
}
