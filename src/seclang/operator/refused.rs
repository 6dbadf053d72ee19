//! Refused: operators of the manual that this engine does not run, each with what to do instead.

/// Why the operator of that lower-case name is refused; None where it is not one of these.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "inspectfile" => {
            "@inspectFile runs a program on an uploaded file, and this engine runs none; hand uploads to a scanner behind the gateway, or look at FILES and FILES_SIZES"
        }
        "validatedtd" => "@validateDTD fetches and runs a DTD over the body; let the application validate, or match on XML:/* with @rx",
        "validateschema" => "@validateSchema runs an XML schema over the body; let the application validate, or match on XML:/* with @rx",
        "validatehash" => {
            "@validateHash needs SecHashEngine, which is not available: a gateway that rewrites links cannot keep hashes of them valid"
        }
        "fuzzyhash" => "@fuzzyHash needs ssdeep, which is not available; match exact files with t:sha1,t:hexEncode and @pmFromFile",
        "gsblookup" => {
            "@gsbLookup asks a Google service that was closed; remove the rule, or use @rbl or @pmFromFile with a list of your own"
        }
        "rsub" => {
            "@rsub rewrites bodies (STREAM_INPUT_BODY, STREAM_OUTPUT_BODY), and this engine only judges; rewrite in the gateway's forwarding settings"
        }
        _ => return None,
    })
}
