//! `@ipMatch`: the value is an address in a list.

use super::addresses::Addresses;

/// Takes addresses and networks (`10.0.0.0/8`, `2001:db8::/32`), separated by commas.
///
/// `SecRule REMOTE_ADDR "@ipMatch 192.168.1.100,10.10.50.0/24" "id:1,phase:1,pass"`
///
/// Manual: Operators, ipMatch.
pub(super) fn compile(argument: &str) -> Result<Addresses, String> {
    let words = || argument.split(',').map(str::trim).filter(|word| !word.is_empty());
    if words().next().is_none() {
        return Err("@ipMatch needs at least one address or network".to_owned());
    }
    Addresses::build(words())
}
