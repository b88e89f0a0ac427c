//! Writes outcomes for people and for programs.

use std::io::Write as _;

use serde::Serialize;

use crate::Output;

/// Writes rows under headings, or the whole outcome as JSON.
pub(crate) fn write<T: Serialize>(output: Output, outcome: &T, headings: &[&str], rows: &[Vec<String>]) {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(outcome).unwrap_or_default(),
        Output::Text => aligned(headings, rows),
    };
    // A reader that is gone needs no outcome.
    let _reader_gone = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Writes what a person may want to know meanwhile.
pub(crate) fn complain(text: &str) {
    let _reader_gone = writeln!(std::io::stderr(), "{}", text.trim_end());
}

fn aligned(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.zip(&widths).enumerate() {
            let padded = if index == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            line.push_str(&padded);
        }
        line.push('\n');
        line
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}
