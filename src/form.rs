//! Names and values of queries and forms (`application/x-www-form-urlencoded`).

/// Names and values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads at most so many pairs of a query or a form's body. What is not UTF-8 becomes the replacement character.
    pub fn parse(text: &str, most: usize) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).take(most).map(pair).collect())
    }

    /// The first value of a name; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_read_as_browsers_send_them() {
        let form = Pairs::parse("a=1+2&b=%C3%BC%3D&c&=x&a=3&bad=%zz%", 9);
        assert_eq!(["a", "b", "c", "bad", "d"].map(|name| form.get(name)), ["1 2", "ü=", "", "%zz%", ""]);
        assert_eq!(Pairs::parse("a=1&b=2", 1).get("b"), "", "bounded");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,200}") {
            let _ = Pairs::parse(&text, 9).get("a");
        }
    }
}
