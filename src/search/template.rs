//! A path with what differs between alike requests taken out: `/order/4711/item/9` becomes `/order/{n}/item/{n}`.

/// Parts of a path that are kept; what lies deeper is one `...`.
const PARTS_MAX: usize = 8;
/// Bytes of a part that is taken for a name.
const NAME_BYTES_MAX: usize = 40;

/// The template of a path: whole numbers become `{n}`, identifiers `{id}`, parts with unusual characters `{x}`.
pub(super) fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (place, part) in path.split('/').enumerate() {
        if place > 0 {
            out.push('/');
        }
        if place > PARTS_MAX {
            out.push_str("...");
            break;
        }
        out.push_str(kind(part).unwrap_or(part));
    }
    out
}

/// What stands for a part; `None` where it is a name.
fn kind(part: &str) -> Option<&'static str> {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
    let rest = part.len() - digits - letters;
    if part.is_empty() {
        return None;
    }
    if part.bytes().any(|b| !b.is_ascii_alphanumeric() && !b"-._~@+,".contains(&b)) {
        return Some("{x}");
    }
    if letters == 0 && digits > 0 && rest == 0 {
        return Some("{n}");
    }
    let hex = part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if (hex && digits > 0 && part.len() >= 8) || (digits > 2 && letters > 2 && part.len() >= 20) || part.len() > NAME_BYTES_MAX {
        return Some("{id}");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn alike_paths_share_a_template() {
        for (path, expected) in [
            ("/", "/"),
            ("", ""),
            ("/order/4711/item/9", "/order/{n}/item/{n}"),
            ("/owa/auth.owa", "/owa/auth.owa"),
            ("/v2/users", "/v2/users"),
            ("/file/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/file/{id}"),
            ("/o/01HF7YAT000000000000000007", "/o/{id}"),
            ("/deadbeef", "/deadbeef"),
            ("/decade42", "/{id}"),
            ("/a<script>alert(1)</script>", "/{x}/{x}"),
            ("/1/2/3/4/5/6/7/8/9/10", "/{n}/{n}/{n}/{n}/{n}/{n}/{n}/{n}/..."),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }
}
