#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use omnirelay_runtime::ErrorKind;

use super::mesh::{Hosts, Options, components};
use super::prepare;
use super::tokens::sha256_hex;

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in ["", "pki", "tokens"] {
        for entry in fs::read_dir(directory.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_second_run_keeps_authority_tokens_and_options() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    drop(prepare(&directory, |options| options.base_port = 9100).unwrap());
    let first = files(&directory);
    let mesh = prepare(&directory, |_| {}).unwrap();
    assert_eq!(mesh.options.base_port, 9100);
    let second = files(&directory);
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, content) in &first {
        let renewed = name.starts_with("pki/") && !name.starts_with("pki/ca.");
        assert_eq!(renewed, second[name] != *content, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    drop(prepare(&directory, |_| {}).unwrap());
    for (name, _) in files(&directory) {
        let mode = fs::metadata(directory.join(&name)).unwrap().permissions().mode() & 0o777;
        let secret = name.ends_with(".key") || name.ends_with(".token");
        assert!(!secret || mode == 0o600, "{name} has mode {mode:o}");
    }
}

#[test]
fn tokens_stand_nowhere_but_in_their_files() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    drop(prepare(&directory, |_| {}).unwrap());
    let token = fs::read_to_string(directory.join("tokens/operator.token")).unwrap();
    let token = token.trim();
    assert_eq!(token.len(), 43);
    for (name, content) in files(&directory) {
        let text = String::from_utf8(content).unwrap();
        assert_eq!(text.contains(token), name == "tokens/operator.token", "{name}");
    }
    let relay = fs::read_to_string(directory.join("relay-1.toml")).unwrap();
    assert!(relay.contains(&sha256_hex(token.as_bytes())));
}

#[test]
fn foreign_directories_are_refused_untouched() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("thesis.tex"), "years of work").unwrap();
    let error = prepare(temp.path(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.report(false).contains("thesis.tex"), "{}", error.report(false));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_in_use_is_refused_with_its_user() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    let held = prepare(&directory, |_| {}).unwrap();
    let error = prepare(&directory, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.report(false).contains(&std::process::id().to_string()), "{}", error.report(false));
    drop(held);
    prepare(&directory, |_| {}).unwrap();
}

#[test]
fn half_an_authority_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    drop(prepare(&directory, |_| {}).unwrap());
    fs::remove_file(directory.join("pki/ca.key")).unwrap();
    let error = prepare(&directory, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint_text().is_some());
}

#[test]
fn a_new_authority_signs_everything_anew() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    let list = || fs::read_to_string(directory.join("data/greeter/crl.pem")).unwrap();
    drop(prepare(&directory, |_| {}).unwrap());
    let first = list();
    drop(prepare(&directory, |_| {}).unwrap());
    assert_eq!(list(), first, "what a process has heard of stays");
    fs::remove_dir_all(directory.join("pki")).unwrap();
    drop(prepare(&directory, |_| {}).unwrap());
    assert_ne!(list(), first, "the other authority's list would end every handshake");
}

#[test]
fn ports_stay_in_their_range() {
    for (port, fine) in [(80, false), (1024, true), (65513, true), (65514, false), (u16::MAX, false)] {
        let options = Options { base_port: port, ..Options::default() };
        assert_eq!(options.check().is_ok(), fine, "{port}");
    }
}

#[test]
fn containers_are_called_by_their_names() {
    let hosts = Hosts::parse(&["meshkitd=control".to_owned(), "mesh.example".to_owned()]).unwrap();
    let options = Options { listen: "0.0.0.0".parse().unwrap(), hosts, ..Options::default() };
    let components = components(&options, Path::new("/etc/omnirelay"));
    let urls: Vec<&str> = components.iter().map(|c| c.url.as_str()).take(2).collect();
    assert_eq!(urls, ["https://control:7400", "https://mesh.example:7420"]);
    assert_eq!(components[0].args, ["--config", "/etc/omnirelay/meshkit.toml"]);
    let names = options.hosts.of_certificate("meshkitd", options.listen);
    assert_eq!(names, ["localhost", "meshkitd", "127.0.0.1", "::1", "control", "mesh.example"]);
    assert!(Hosts::parse(&["nobody=control".to_owned()]).is_err());
}

/// The bytes of a PEM file's first certificate.
fn der(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let body = text.split("-----").nth(2).unwrap().replace(['\r', '\n'], "");
    STANDARD.decode(body).unwrap()
}

/// What stands in the extension `2.5.29.NUMBER` of a certificate, without its `prefix`.
fn extension(der: &[u8], number: u8, prefix: &[u8]) -> Vec<u8> {
    let start = [&[0x06, 0x03, 0x55, 0x1d, number][..], prefix].concat();
    let at = der.windows(start.len()).position(|window| window == start).expect("the extension is there");
    der[at + start.len()..][..20].to_vec()
}

#[test]
fn certificates_name_the_key_of_their_authority() {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().join("mesh");
    drop(prepare(&directory, |_| {}).unwrap());
    let pki = directory.join("pki");
    // An octet string of an octet string of 20 bytes (RFC 5280, section 4.2.1.2) ...
    let own = extension(&der(&pki.join("ca.pem")), 0x0e, &[0x04, 0x16, 0x04, 0x14]);
    let mut tried = 0;
    for name in files(&directory).into_keys().filter(|name| name.ends_with(".pem") && !name.contains("ca.")) {
        // ... and one of a sequence whose first field it is (section 4.2.1.1).
        let named = extension(&der(&directory.join(&name)), 0x23, &[0x04, 0x18, 0x30, 0x16, 0x80, 0x14]);
        assert_eq!(named, own, "{name}");
        tried += 1;
    }
    assert!(tried >= 3, "{tried} certificates");
}
