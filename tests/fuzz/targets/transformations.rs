//! Fuzz target: no chain of transformations panics on any bytes, and none makes more than it says. The first byte is the length of the chain.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seclang::transform::Transformation;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else { return };
    let Some((chain, value)) = rest.split_at_checked(usize::from(length % 8)) else { return };
    let mut value = value.to_vec();
    for choice in chain {
        let all = Transformation::ALL;
        let one = all[usize::from(*choice) % all.len()];
        let before = value.len();
        value = one.apply(value.into()).into_owned();
        assert!(value.len() <= one.output_bytes_max(before), "{} made {} bytes of {before}", one.name(), value.len());
        if value.len() > 1 << 20 {
            return;
        }
    }
});
