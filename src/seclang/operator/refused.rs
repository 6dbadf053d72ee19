//! Refused: operators of the manual and of other engines that this engine does not run, each with what to do instead.

/// Names in the manual's spelling, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    (
        "inspectFile",
        "@inspectFile runs a program on an uploaded file, and this engine runs none; hand uploads to a scanner behind the gateway, or look at FILES and FILES_SIZES",
    ),
    ("validateDTD", "@validateDTD fetches and runs a DTD over the body; let the application validate, or match on XML:/* with @rx"),
    ("validateSchema", "@validateSchema runs an XML schema over the body; let the application validate, or match on XML:/* with @rx"),
    (
        "validateHash",
        "@validateHash needs SecHashEngine, which is not available: a gateway that rewrites links cannot keep hashes of them valid",
    ),
    ("fuzzyHash", "@fuzzyHash needs ssdeep, which is not available; match exact files with t:sha1,t:hexEncode and @pmFromFile"),
    ("gsbLookup", "@gsbLookup asks a Google service that was closed; remove the rule, or use @rbl or @pmFromFile with a list of your own"),
    (
        "rsub",
        "@rsub rewrites bodies (STREAM_INPUT_BODY, STREAM_OUTPUT_BODY), and this engine only judges; rewrite in the gateway's forwarding settings",
    ),
    ("pmFromDataset", "@pmFromDataset needs SecDataset; put the phrases into a file and use @pmFromFile"),
    ("ipMatchFromDataset", "@ipMatchFromDataset needs SecDataset; put the networks into a file and use @ipMatchFromFile"),
    ("restpath", "@restpath names parts of a path; write the pattern with groups, @rx ^/path/([^/]+)$, and capture"),
    (
        "validateNid",
        "@validateNid knows numbers of two countries; use @verifyCPF, @verifySSN or @verifySVNR, or @rx with the form of the number",
    ),
];

/// Why the operator of that name is refused; None where it is not one of these.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, reason)| *reason)
}
