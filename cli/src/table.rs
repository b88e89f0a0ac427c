//! Aligned tables.

use crate::output::{Look, printable};

#[cfg(test)]
mod tests;

/// Rows under headings; columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    heading: &'static str,
    right: bool,
    /// Whether only wide tables have it.
    extra: bool,
}

impl Table {
    /// Makes an empty table. A heading that starts with `+` is one of wide tables alone; behind that, one that
    /// starts with `>` is aligned to the right, as numbers are.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let columns = headings
            .iter()
            .map(|heading| {
                let (heading, extra) = marked(heading, '+');
                let (heading, right) = marked(heading, '>');
                Column { heading, right, extra }
            })
            .collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; empty cells show as `-`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        let cell = |text: String| if text.is_empty() { "-".to_owned() } else { printable(&text) };
        self.rows.push(cells.map(cell).into());
    }

    /// Lines of text with the heading first and nothing trailing; each line is indented by `indent`.
    pub(crate) fn render(&self, indent: usize, look: Look) -> String {
        let shown = |column: &Column| look.wide || !column.extra;
        let width = |index: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
            cells.chain([column.heading.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<Option<usize>> =
            self.columns.iter().enumerate().map(|(i, c)| shown(c).then(|| width(i, c))).collect();
        let bold = anstyle::Style::new().bold();
        let mut out = String::new();
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.to_owned()).collect();
        let heading = self.line(&headings, &widths);
        let pad = " ".repeat(indent);
        if look.color {
            out.push_str(&format!("{pad}{bold}{heading}{bold:#}\n"));
        } else {
            out.push_str(&format!("{pad}{heading}\n"));
        }
        for row in &self.rows {
            out.push_str(&format!("{pad}{}\n", self.line(row, &widths)));
        }
        out
    }

    /// The rows alone, each as wide as it is.
    pub(crate) fn rows(&self, look: Look) -> Vec<String> {
        let shown = |(cell, column): (&String, &Column)| (look.wide || !column.extra).then(|| cell.clone());
        let cells = |row: &Vec<String>| row.iter().zip(&self.columns).filter_map(shown).collect::<Vec<_>>();
        self.rows.iter().map(|row| cells(row).join("  ")).collect()
    }

    fn line(&self, cells: &[String], widths: &[Option<usize>]) -> String {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(widths).zip(&self.columns) {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line.push_str("  ");
            }
            if column.right {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A heading without its mark, and whether it had it.
fn marked(heading: &'static str, mark: char) -> (&'static str, bool) {
    heading.strip_prefix(mark).map_or((heading, false), |heading| (heading, true))
}
