//! Columns: lists of values that stay as they are while the rules of a phase run.

use crate::target::{Selector, Target};
use crate::variable::Variable as V;

/// Where the values of a column come from.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// A list of the transaction: its values, or its names.
    Values(List),
    /// See [`Column::Values`].
    Names(List),
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
            (Column::Picked(a), Column::Picked(b)) => a.same(b) && path(a) == path(b),
            _ => false,
        }
    }

    /// Whether it stays as it is between the phases of the request.
    pub(crate) fn is_head(&self) -> bool {
        matches!(self, Column::Values(list) | Column::Names(list) if matches!(list, List::ArgsGet | List::Cookies | List::RequestHeaders))
    }
}

/// How a path is written, which is the name of its values.
fn path(target: &Target) -> Option<&str> {
    match &target.selector {
        Some(Selector::XmlPath(_, text)) => Some(text),
        _ => None,
    }
}

/// The columns of a target's variable, in order. A selector picks from them later.
pub(super) fn of(target: &Target) -> Vec<Column> {
    let values = |lists: &[List]| lists.iter().map(|list| Column::Values(*list)).collect();
    let names = |lists: &[List]| lists.iter().map(|list| Column::Names(*list)).collect();
    match target.variable {
        V::Args => values(&[List::ArgsGet, List::ArgsPost]),
        V::ArgsGet => values(&[List::ArgsGet]),
        V::ArgsPost => values(&[List::ArgsPost]),
        V::ArgsNames => names(&[List::ArgsGet, List::ArgsPost]),
        V::ArgsGetNames => names(&[List::ArgsGet]),
        V::ArgsPostNames => names(&[List::ArgsPost]),
        V::RequestCookies => values(&[List::Cookies]),
        V::RequestCookiesNames => names(&[List::Cookies]),
        V::RequestHeaders => values(&[List::RequestHeaders]),
        V::RequestHeadersNames => names(&[List::RequestHeaders]),
        V::ResponseHeaders => values(&[List::ResponseHeaders]),
        V::ResponseHeadersNames => names(&[List::ResponseHeaders]),
        _ => vec![Column::Picked(Box::new(target.clone()))],
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
