//! What rules and configured paths keep out of records, beside the built-in rules of redaction.

use super::*;

fn sanitised(kind: &str, name: &str) -> Record {
    let mut record = full();
    record.query = Some(format!("note={SECRET}&page=2"));
    record.headers[0] = ("x-note".into(), SECRET.into());
    let rule = |variable: &str| RuleMatch {
        variable: variable.into(),
        matched: SECRET.into(),
        data: format!("Matched Data: {SECRET} found within {variable}"),
        ..RuleMatch::default()
    };
    record.rules = vec![rule("ARGS:note"), rule("REQUEST_HEADERS:X-Note"), rule("TX:1"), rule("MATCHED_VAR")];
    record.sanitised = vec![(kind.into(), name.to_owned().into())];
    record
}

#[test]
fn what_a_rule_said_must_not_be_shown_is_not() {
    for (kind, name) in [
        ("sanitisearg", "Note"),
        ("sanitiserequestheader", "X-Note"),
        ("sanitisematched", "ARGS:note"),
        ("sanitisematchedbytes", "REQUEST_HEADERS:x-note"),
    ] {
        let text = line(&sanitised(kind, name));
        valid(&text);
        assert!(!text.contains(SECRET), "{kind}: {text}");
        assert!(text.contains("page=2"), "{kind}: {text}");
    }
    // A value that is too short to be looked for elsewhere is still not shown where it stands.
    let mut record = full();
    record.query = Some("pn=77&page=2".into());
    record.sanitised = vec![("sanitisearg".into(), "pn".into())];
    assert_eq!(valid(&line(&record))["url"]["query"], "pn=[redacted]&page=2");
    let mut record = full();
    record.query = Some(format!("note={SECRET}&page=2"));
    assert!(line(&record).contains(SECRET), "nobody said so");
}

#[test]
fn values_at_configured_json_paths_are_in_no_field() {
    let paths = ["user.note", "cards[*].label"].map(|path| JsonPath::parse(path).unwrap());
    let redactor = redactor().with_json_paths(paths.to_vec());
    let body = format!(r#"{{"user":{{"note":"{SECRET}","name":"ann"}},"cards":[{{"label":"{SECRET}2"}}],"note":"kept"}}"#);
    let mut record = full();
    let rule = |variable: &str, matched: &str| RuleMatch {
        variable: variable.into(),
        matched: matched.into(),
        data: format!("Matched Data: {matched} found within {variable}"),
        message: format!("odd {matched}"),
        ..RuleMatch::default()
    };
    record.rules = vec![
        rule("REQUEST_BODY", &body),
        rule("ARGS:user.note", SECRET),
        rule("ARGS:cards.0.label", &format!("{SECRET}2")),
        rule("ARGS:note", "kept"),
        rule("TX:1", SECRET),
    ];
    let text = line_by(&record, &redactor);
    valid(&text);
    assert!(!text.contains(SECRET), "{text}");
    assert!(text.contains("kept") && text.contains("ann"), "{text}");
    // In a record that shows the value nowhere else.
    record.rules.remove(0);
    assert!(!line_by(&record, &redactor).contains(SECRET));
}

#[test]
fn built_in_parameters_are_shown_only_where_the_policy_says_so() {
    let mut record = full();
    record.query = Some(format!("session.note={SECRET}&code=42&page=2"));
    assert_eq!(valid(&line(&record))["url"]["query"], "session.note=[redacted]&code=[redacted]&page=2");
    let shown = redactor().recording(["session"]);
    let text = line_by(&record, &shown);
    assert_eq!(valid(&text)["url"]["query"], format!("session.note={SECRET}&code=[redacted]&page=2"));
    assert!(Redactor::is_recordable("session") && !Redactor::is_recordable("password") && !Redactor::is_recordable("page"));
}

#[test]
fn the_built_in_names_are_known_without_a_policy() {
    let redactor = Redactor::new([], [], false).unwrap();
    for name in [
        "access_token",
        "apikey",
        "client_secret",
        "creditcard",
        "csrf_token",
        "id_token",
        "jwt",
        "old_password",
        "pwd",
        "SAMLResponse",
        "ssn",
    ] {
        assert!(redactor.secret_name(name.as_bytes()), "{name}");
    }
    for name in ["Authorization", "cookie", "X-Api-Key", "x-auth-token", "x-csrf-token", "x-xsrf-token"] {
        assert!(redactor.secret_header(name), "{name}");
    }
}
