//! Outputs compared with committed files. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use crate::harness::Mesh;

/// Compares an output, made independent of ports, paths, times and widths, with a golden file.
pub(crate) fn check(mesh: &Mesh, name: &str, golden: &str, actual: &str) {
    let actual = normal(mesh, actual);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/golden").join(name);
        std::fs::write(path, actual).unwrap();
        return;
    }
    assert_eq!(golden, actual, "{name} differs; if that is right, run the test with UPDATE_GOLDEN=1");
}

fn normal(mesh: &Mesh, text: &str) -> String {
    let mut out =
        text.replace(mesh.path().to_str().unwrap(), "DIR").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    for offset in 0..=22 {
        let port = |base: u16| format!("127.0.0.1:{}", base + offset);
        out = out.replace(&port(mesh.base_port), &port(7400));
    }
    out.lines().map(line).collect()
}

/// Squeezes columns, whose widths follow what is in them, and hides what differs on every run.
fn line(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let mut out = line[..indent].to_owned();
    for (index, cell) in line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).enumerate() {
        if index > 0 {
            out.push_str("  ");
        }
        let words: Vec<String> = cell.split(' ').map(word).collect();
        out.push_str(&words.join(" "));
    }
    out.push('\n');
    out
}

fn word(word: &str) -> String {
    let (body, tail) = match word.strip_suffix(',') {
        Some(body) => (body, ","),
        None => (word, ""),
    };
    let moment = body.trim_matches('"');
    if moment.len() >= 20 && moment.ends_with('Z') && moment.as_bytes().get(10) == Some(&b'T') {
        return format!("{}{tail}", body.replace(moment, "MOMENT"));
    }
    let number =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let age = body.strip_suffix('s').is_some_and(|text| number(&text.replacen('m', "", 1)));
    if age {
        return format!("AGE{tail}");
    }
    if number(body) && body.contains('.') {
        return format!("TIME{tail}");
    }
    word.to_owned()
}
