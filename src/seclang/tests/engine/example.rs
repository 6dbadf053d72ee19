//! The example of the crate does what it says, on the Core Rule Set.

use std::process::Command;

use super::support::crs_folder;

#[test]
fn the_example_denies_an_attack_and_lets_an_ordinary_request_pass() {
    let Some(folder) = crs_folder() else { return };
    // The workspace's features, with which `cargo test` has built it already: with another set every dependency is built again.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace", "--example", "inspect"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let tests = std::env::current_exe().expect("this test has a path");
    let example = tests.ancestors().nth(2).expect("it lies in `deps`, beside `examples`").join("examples/inspect");
    let run = |url: &str| {
        let output = Command::new(&example).arg(&folder).arg(url).output().expect("the example runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let attack = run("/?id=1%27%20OR%201=1%20UNION%20SELECT%20password%20FROM%20users--%20-");
    assert!(attack.contains("942100") && attack.ends_with("denied with 403 by rule 949110\n"), "{attack}");
    assert_eq!(run("/products?page=2"), "passed\n");
}
