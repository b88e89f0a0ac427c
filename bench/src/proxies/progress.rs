//! What is told while it runs: a line a step, and on a terminal the table as it grows.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};

use super::measure::Plan;
use super::proxy::Proxy;
use super::row::Row;

/// Tells on the standard error what is under way.
pub(super) struct Progress {
    proxies: Vec<Proxy>,
    rows: Vec<Row>,
    known: HashMap<(Row, Proxy), f64>,
    /// Whether lines can be written over.
    terminal: bool,
    /// Lines of what is shown now.
    shown: usize,
}

impl Progress {
    pub(super) fn new(plan: &Plan) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            proxies: plan.proxies.clone(),
            rows: plan.rows.clone(),
            known: HashMap::new(),
            terminal,
            shown: 0,
        }
    }

    /// A step begins.
    pub(super) fn tell(&mut self, step: &str) {
        let text = if self.terminal { format!("{}{step}\n", self.table()) } else { format!("{step}\n") };
        self.write(&text);
    }

    /// The median so far of what a call costs, in microseconds.
    pub(super) fn show(&mut self, row: Row, proxy: Proxy, cpu_us: f64) {
        self.known.insert((row, proxy), cpu_us);
        if !self.terminal {
            self.write(&format!("  {cpu_us:.1} us of processor time a call\n"));
        }
    }

    /// Nothing more is told; the outcome takes its place.
    pub(super) fn end(&mut self) {
        self.write("");
    }

    fn table(&self) -> String {
        let mut text = format!("{:<14}", "CPU us/call");
        self.proxies.iter().for_each(|proxy| text.push_str(&format!("{:>10}", proxy.title())));
        for row in &self.rows {
            text.push_str(&format!("\n{:<14}", row.title()));
            for proxy in &self.proxies {
                let known = self.known.get(&(*row, *proxy));
                text.push_str(&format!(
                    "{:>10}",
                    known.map_or_else(|| ".".to_owned(), |us| format!("{us:.1}"))
                ));
            }
        }
        text.push('\n');
        text
    }

    fn write(&mut self, text: &str) {
        let mut error = std::io::stderr().lock();
        if self.terminal && self.shown > 0 {
            // To the first line of what is shown, and away with it.
            let _nobody_looks = write!(error, "\x1b[{}F\x1b[J", self.shown);
        }
        self.shown = text.lines().count();
        let _nobody_looks = write!(error, "{text}");
    }
}
