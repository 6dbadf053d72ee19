//! What is said of wrong certificate files, as golden text in `tests/certificates/` (bless with `UPDATE=1`).

use base64::Engine as _;
use portcullis::policy::{CertificateFiles, SiteName};
use portcullis::tls::load::load;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::fs;
use std::path::{Path, PathBuf};

/// 2026-06-01: every case happens on this day.
const NOW: i64 = 1_780_272_000;
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates");

/// A certificate with its key, as PEM.
struct Made {
    certificate: String,
    key: String,
}

fn params(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn made(params: &CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    Made { certificate: flat(&params.self_signed(&key).unwrap()), key: pem("PRIVATE KEY", &key.serialize_der()) }
}

fn flat(certificate: &rcgen::Certificate) -> String {
    pem("CERTIFICATE", certificate.der())
}

fn valid() -> Made {
    made(&params("mail.example.com", (2026, 2027)))
}

/// Root, intermediate and server certificate; the intermediate ends with `end`.
fn chain(end: i32) -> (String, String, Made) {
    let authority = |name: &str, years| {
        let mut params = params(name, years);
        params.subject_alt_names.clear();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root_key = KeyPair::generate().unwrap();
    let root_params = authority("Root", (2020, 2040));
    let root_pem = flat(&root_params.self_signed(&root_key).unwrap());
    let root = Issuer::new(root_params, root_key);
    let middle_key = KeyPair::generate().unwrap();
    let middle_params = authority("Middle", (2020, end));
    let middle_pem = flat(&middle_params.signed_by(&middle_key, &root).unwrap());
    let middle = Issuer::new(middle_params, middle_key);
    let key = KeyPair::generate().unwrap();
    let certificate = flat(&params("mail.example.com", (2026, 2027)).signed_by(&key, &middle).unwrap());
    (root_pem, middle_pem, Made { certificate, key: pem("PRIVATE KEY", &key.serialize_der()) })
}

/// Files written for one case, in a folder that goes with it.
struct Case {
    folder: tempfile::TempDir,
    names: Vec<SiteName>,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), names: vec![SiteName::Exact("mail.example.com".into())] }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.write_mode(name, content, 0o600)
    }

    fn write_mode(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What is said, with the folder's name left out.
    fn said(&self, certificate: &Path, key: Option<&Path>, chain: Option<&Path>) -> String {
        let files = CertificateFiles { certificate: certificate.into(), key: key.map(Into::into), chain: chain.map(Into::into) };
        let (loaded, diagnostics) = load(&files, &self.names, NOW);
        let mut out: String = diagnostics.iter().map(|d| format!("{d}\n\n")).collect();
        out.push_str(if loaded.is_some() { "usable\n" } else { "not usable\n" });
        out.replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn said_of(&self, content: impl AsRef<[u8]>) -> String {
        self.said(&self.write("mail.pem", content), None, None)
    }
}

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// One line whatever its length, since signatures differ in length and golden text has line numbers.
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn unreadable() -> Vec<(&'static str, String)> {
    let case = Case::new;
    let Made { certificate, key } = valid();
    let both = format!("{certificate}{key}");
    vec![
        ("missing_files", {
            let c = case();
            c.said(&c.folder.path().join("mail.crt"), Some(&c.folder.path().join("mail.key")), Some(&c.folder.path().join("chain.pem")))
        }),
        ("directory", {
            let c = case();
            fs::create_dir(c.folder.path().join("mail")).unwrap();
            c.said(&c.folder.path().join("mail"), None, None)
        }),
        ("der", case().said_of(der(&certificate))),
        ("empty", case().said_of("")),
        ("no_certificate", case().said_of(&key)),
        ("request_instead_of_certificate", case().said_of(format!("{key}{}", pem("CERTIFICATE REQUEST", b"0000")))),
        ("block_without_end", case().said_of(&both[..both.len() - 10])),
        ("block_without_begin", case().said_of(&both[30..])),
        ("block_within_block", case().said_of(format!("-----BEGIN CERTIFICATE-----\nAAAA\n{key}"))),
        ("ends_as_something_else", case().said_of(format!("{key}{}", certificate.replace("END CERTIFICATE", "END PRIVATE KEY")))),
        ("not_base64", case().said_of(format!("{key}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"))),
        ("not_a_certificate", case().said_of(format!("{key}{}", pem("CERTIFICATE", b"certainly not a certificate")))),
        ("certificate_cut_short", case().said_of(format!("{key}{}", pem("CERTIFICATE", &der(&certificate)[..200])))),
    ]
}

fn keys() -> Vec<(&'static str, String)> {
    let case = Case::new;
    let Made { certificate, key } = valid();
    let other = valid();
    vec![
        ("no_key", case().said_of(&certificate)),
        ("no_key_in_key_file", {
            let c = case();
            c.said(&c.write("mail.crt", &certificate), Some(&c.write("mail.key", &certificate)), None)
        }),
        ("several_keys", case().said_of(format!("{certificate}{key}{}", other.key))),
        ("encrypted_key", case().said_of(format!("{certificate}{}", pem("ENCRYPTED PRIVATE KEY", b"secret")))),
        ("encrypted_key_of_the_old_form", {
            let old =
                pem("RSA PRIVATE KEY", b"secret").replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1);
            case().said_of(format!("{certificate}{old}"))
        }),
        ("damaged_key", case().said_of(format!("{certificate}{}", pem("PRIVATE KEY", &der(&key)[..60])))),
        ("key_of_an_unknown_kind", case().said_of(format!("{certificate}{}", pem("DSA PRIVATE KEY", b"0000")))),
        ("key_of_another_certificate", case().said_of(format!("{certificate}{}", other.key))),
        ("key_file_of_another_certificate", {
            let c = case();
            c.said(&c.write("mail.crt", &certificate), Some(&c.write("mail.key", &other.key)), None)
        }),
        ("key_readable_by_everybody", {
            let c = case();
            c.said(&c.write_mode("mail.pem", format!("{certificate}{key}"), 0o644), None, None)
        }),
    ]
}

fn contents() -> Vec<(&'static str, String)> {
    let case = Case::new;
    let one = |params: &CertificateParams| {
        let Made { certificate, key } = made(params);
        case().said_of(format!("{certificate}{key}"))
    };
    let (root, middle, server) = chain(2030);
    let (_, old_middle, old_server) = chain(2025);
    let stranger = valid();
    let mut soon = params("mail.example.com", (2026, 2027));
    soon.not_after = date_time_ymd(2026, 6, 9);
    let mut nameless = params("mail.example.com", (2026, 2027));
    nameless.subject_alt_names.clear();
    vec![
        ("fine", case().said_of(format!("{}{middle}{}{root}", server.certificate, server.key))),
        ("fine_in_three_files", {
            let c = case();
            let chain = c.write("chain.pem", format!("# from the authority\n{middle}\n{root}"));
            c.said(&c.write("mail.crt", &server.certificate), Some(&c.write("mail.key", &server.key)), Some(&chain))
        }),
        ("expired", one(&params("mail.example.com", (2024, 2026)))),
        ("not_yet_valid", one(&params("mail.example.com", (2027, 2028)))),
        ("expires_soon", one(&soon)),
        ("no_names", one(&nameless)),
        ("names_not_covered", {
            let mut c = case();
            let exact = |name: &str| SiteName::Exact(name.into());
            c.names = vec![
                exact("mail.example.com"),
                exact("mail"),
                exact("www.example.com"),
                SiteName::Wildcard("example.com".into()),
                SiteName::Any,
            ];
            let Made { certificate, key } = valid();
            c.said_of(format!("{certificate}{key}"))
        }),
        ("wildcard_covers_one_label", {
            let mut c = case();
            c.names = ["a.example.com", "a.b.example.com", "example.com"].map(|n| SiteName::Exact(n.into())).to_vec();
            c.names.push(SiteName::Wildcard("example.com".into()));
            let Made { certificate, key } = made(&params("*.example.com", (2026, 2027)));
            c.said_of(format!("{certificate}{key}"))
        }),
        ("chain_out_of_order", case().said_of(format!("{root}{middle}{}{}", server.key, server.certificate))),
        ("stray_certificate", case().said_of(format!("{}{}{middle}{}", server.certificate, server.key, stranger.certificate))),
        ("expired_authority", case().said_of(format!("{}{}{old_middle}", old_server.certificate, old_server.key))),
        ("chain_file_without_certificate", {
            let c = case();
            c.said(
                &c.write("mail.crt", &server.certificate),
                Some(&c.write("mail.key", &server.key)),
                Some(&c.write("chain.pem", "# empty\n")),
            )
        }),
        ("several_mistakes_at_once", {
            let c = case();
            let Made { certificate, .. } = made(&params("mail.example.com", (2024, 2026)));
            c.said(
                &c.write("mail.crt", certificate),
                Some(&c.write_mode("mail.key", pem("ENCRYPTED PRIVATE KEY", b"x"), 0o644)),
                Some(&c.folder.path().join("chain.pem")),
            )
        }),
    ]
}

#[test]
fn every_wrong_certificate_file_is_named_with_what_to_do() {
    let cases = [unreadable(), keys(), contents()].concat();
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for (name, said) in &cases {
        let path = Path::new(EXPECTED).join(format!("{name}.txt"));
        if update {
            fs::write(&path, said).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if *said != expected {
            wrong.push(format!("{name}: expected\n{expected}\nbut said\n{said}"));
        }
    }
    let files = fs::read_dir(EXPECTED).unwrap().count();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files, cases.len(), "a golden file belongs to no case");
}

/// The key inside a PKCS#8 key: PKCS#1 of an RSA, SEC1 of an elliptic one (`SEQUENCE { INTEGER, SEQUENCE, OCTET STRING }`).
fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    fn item(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, head) = match der[1] {
            n if n < 128 => (usize::from(n), 2),
            0x81 => (usize::from(der[2]), 3),
            _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        };
        (&der[head..head + length], &der[head + length..])
    }
    let (whole, _) = item(pkcs8);
    let (_, rest) = item(whole);
    let (_, rest) = item(rest);
    item(rest).0.to_vec()
}

#[test]
fn keys_are_taken_in_all_three_forms() {
    let params = params("mail.example.com", (2026, 2027));
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let curves = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    let mut keys = vec![rsa];
    keys.extend(curves.map(|c| KeyPair::generate_for(c).unwrap()));
    for (i, key) in keys.iter().enumerate() {
        let certificate = params.self_signed(key).unwrap().pem();
        let pkcs8 = key.serialize_der();
        let mut forms = vec![pem("PRIVATE KEY", &pkcs8)];
        match i {
            0 => forms.push(pem("RSA PRIVATE KEY", &inner_key(&pkcs8))),
            1 | 2 => forms.push(format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
                pem("EC PRIVATE KEY", &inner_key(&pkcs8))
            )),
            _ => {}
        }
        for form in forms {
            let said = Case::new().said_of(format!("{form}{}", certificate.replace('\n', "\r\n")));
            assert_eq!(said, "usable\n", "key {i}: {form}");
        }
    }
}

#[test]
fn the_status_of_a_certificate_says_names_dates_and_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pem");
    let names = ["Mail.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"].map(String::from);
    let (certificate, key) = portcullis::tls::self_signed(&names, 30).unwrap();
    fs::write(&path, format!("{key}{certificate}")).unwrap();
    let status = portcullis::tls::certificate_status(&path).unwrap();
    assert_eq!(status.names, ["mail.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"]);
    assert_eq!((status.subject.as_str(), status.issuer.as_str()), ("CN=Mail.example.com", "CN=Mail.example.com"));
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    assert!((29..=30).contains(&status.days_left(now)) && status.not_before < now);
    use sha2::Digest as _;
    let hex: Vec<String> = sha2::Sha256::digest(der(&certificate)).iter().map(|b| format!("{b:02X}")).collect();
    assert_eq!(status.fingerprint, hex.join(":"));
}

#[test]
fn a_self_signed_certificate_is_made_only_for_names() {
    for bad in [vec![], vec![""], vec!["two words"], vec!["a.example", "ü.example"], vec!["a\nb"], vec!["*."]] {
        let names: Vec<String> = bad.iter().map(|s| (*s).to_owned()).collect();
        assert!(portcullis::tls::self_signed(&names, 1).is_err(), "{bad:?}");
    }
}

/// The exit code and standard output of `portcullis cert ...`.
fn cert(arguments: &[&str]) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("cert").args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_cert_command_makes_a_certificate_and_tells_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let (code, said) = cert(&["self-signed", "a.example", "*.a.example", "--out", out, "--days", "30"]);
    let file = format!("{out}/a.example.crt");
    assert_eq!((code, said.contains(&file)), (0, true), "{said}");
    assert_eq!(cert(&["self-signed", "a.example", "--out", out]).0, 1, "it is there already");
    assert_eq!(cert(&["self-signed"]).0, 2);
    let (code, said) = cert(&["status", &file, "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &status["names"], &status["expired"]),
        (0, &serde_json::json!(["a.example", "*.a.example"]), &serde_json::json!(false))
    );
    assert_eq!(cert(&["self-signed", "a.example", "--out", out, "--days", "5", "--force"]).0, 0);
    let (code, said) = cert(&["status", &file]);
    assert_eq!((code, said.contains("4 days left") || said.contains("5 days left")), (1, true), "{said}");
    assert_eq!(cert(&["status", &format!("{out}/missing.crt")]).0, 2);
}
