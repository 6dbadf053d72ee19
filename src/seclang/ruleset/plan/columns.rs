//! Columns: lists of values that stay as they are while the rules of a phase run.

use std::sync::Arc;

use crate::target::{Selector, Target};
use crate::variable::Variable as V;

/// Where the values of a column come from.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// A list of the transaction: its values, or its names.
    Values(List),
    /// See [`Column::Values`].
    Names(List),
    /// Those of a list's values that have a name: the list, its own column, the name.
    Named(List, u32, Arc<[u8]>),
    /// What the target picks, looked up once in a phase.
    Picked(Box<Target>),
}

/// The lists that most rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Arguments of the query.
    ArgsGet,
    /// Arguments of the body.
    ArgsPost,
    /// Cookies.
    Cookies,
    /// Headers of the request.
    RequestHeaders,
    /// Headers of the response.
    ResponseHeaders,
}

impl Column {
    pub(super) fn same(&self, other: &Column) -> bool {
        match (self, other) {
            (Column::Values(a), Column::Values(b)) | (Column::Names(a), Column::Names(b)) => a == b,
            (Column::Named(a, _, name), Column::Named(b, _, other)) => a == b && name.eq_ignore_ascii_case(other),
            (Column::Picked(a), Column::Picked(b)) => a.same(b) && path(a) == path(b),
            _ => false,
        }
    }

    /// Whether it is made of the request's headers.
    pub(super) fn is_of_request_headers(&self) -> bool {
        matches!(self, Column::Values(List::RequestHeaders) | Column::Names(List::RequestHeaders) | Column::Named(List::RequestHeaders, ..))
    }

    /// Whether it stays as it is between the phases of the request.
    pub(super) fn is_head(&self) -> bool {
        match self {
            Column::Values(list) | Column::Names(list) | Column::Named(list, ..) => {
                matches!(list, List::ArgsGet | List::Cookies | List::RequestHeaders)
            }
            Column::Picked(target) => matches!(
                target.variable,
                V::QueryString
                    | V::RequestBasename
                    | V::RequestFilename
                    | V::RequestLine
                    | V::RequestMethod
                    | V::RequestProtocol
                    | V::RequestUri
                    | V::RequestUriRaw
            ),
        }
    }
}

/// How a path is written, which is the name of its values.
fn path(target: &Target) -> Option<&str> {
    match &target.selector {
        Some(Selector::XmlPath(_, text)) => Some(text),
        _ => None,
    }
}

/// What a target's values are made of, in order.
pub(super) enum Source {
    /// Lists; a selector by a name picks from them.
    Values(&'static [List]),
    /// The names of lists. A selector picks from them later.
    Names(&'static [List]),
    /// Anything else.
    Picked,
}

/// The source of a target's values.
pub(super) fn of(target: &Target) -> Source {
    const ARGS: &[List] = &[List::ArgsGet, List::ArgsPost];
    match target.variable {
        V::Args => Source::Values(ARGS),
        V::ArgsGet => Source::Values(&[List::ArgsGet]),
        V::ArgsPost => Source::Values(&[List::ArgsPost]),
        V::ArgsNames => Source::Names(ARGS),
        V::ArgsGetNames => Source::Names(&[List::ArgsGet]),
        V::ArgsPostNames => Source::Names(&[List::ArgsPost]),
        V::RequestCookies => Source::Values(&[List::Cookies]),
        V::RequestCookiesNames => Source::Names(&[List::Cookies]),
        V::RequestHeaders => Source::Values(&[List::RequestHeaders]),
        V::RequestHeadersNames => Source::Names(&[List::RequestHeaders]),
        V::ResponseHeaders => Source::Values(&[List::ResponseHeaders]),
        V::ResponseHeadersNames => Source::Names(&[List::ResponseHeaders]),
        _ => Source::Picked,
    }
}

/// Whether rules leave the variable's values as they are while a phase runs.
pub(super) fn is_stable(variable: V) -> bool {
    use V::*;
    matches!(
        variable,
        Args | ArgsGet | ArgsPost | ArgsNames | ArgsGetNames | ArgsPostNames | ArgsCombinedSize | AuthType | Duration
            | Files | FilesCombinedSize | FilesNames | FilesSizes | FilesTmpContent | FullRequest | FullRequestLength
            | InboundDataError | OutboundDataError | QueryString | RemoteAddr | RemoteHost | RemotePort | RemoteUser
            | ReqbodyError | ReqbodyErrorMsg | ReqbodyProcessorError | ReqbodyProcessorErrorMsg | RequestBasename
            | RequestBody | RequestBodyLength | RequestCookies | RequestCookiesNames | RequestFilename | RequestHeaders
            | RequestHeadersNames | RequestLine | RequestMethod | RequestProtocol | RequestUri | RequestUriRaw
            | ResponseBody | ResponseContentLength | ResponseContentType | ResponseHeaders | ResponseHeadersNames
            | ResponseProtocol | ResponseStatus | ServerAddr | ServerName | ServerPort | StatusLine | StreamInputBody
            | StreamOutputBody | UniqueId | UrlencodedError | UseragentIp | Webappid | Xml | MultipartFilename
            | MultipartName | MultipartPartHeaders
            // Scalars that the body's parser sets.
            | MultipartUnmatchedBoundary | MultipartStrictError | MultipartBoundaryQuoted | MultipartBoundaryWhitespace
            | MultipartCrlfLfLines | MultipartDataAfter | MultipartDataBefore | MultipartFileLimitExceeded
            | MultipartHeaderFolding | MultipartInvalidHeaderFolding | MultipartInvalidPart | MultipartInvalidQuoting
            | MultipartLfLine | MultipartMissingSemicolon | MultipartSemicolonMissing
    )
}
