//! What is going on while something takes its time: a live line in a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::output;

/// How often the live line moves.
pub(crate) const TICK: Duration = Duration::from_millis(80);

/// Says what is going on with the time since the start.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    live: bool,
    shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), live: std::io::stderr().is_terminal() && !dumb(), shown: false }
    }

    /// Says something that stays on the screen.
    pub(crate) fn line(&mut self, text: &str) {
        self.clear();
        let dim = anstyle::Style::new().dimmed();
        let time = format!("[{:6.2} s]", self.began.elapsed().as_secs_f64());
        if output::color_on_stderr() {
            output::note(&format!("{dim}{time}{dim:#} {text}"));
        } else {
            output::note(&format!("{time} {text}"));
        }
    }

    /// Says what is being waited for, on a line that the next one replaces. Only for terminals.
    pub(crate) fn waiting(&mut self, text: &str) {
        if !self.live {
            return;
        }
        let line = format!("[{:6.2} s] {text}", self.began.elapsed().as_secs_f64());
        // Nobody is left to tell where standard error is closed.
        let _closed = write!(std::io::stderr().lock(), "\r\x1b[2K{line}");
        self.shown = true;
    }

    /// Takes the live line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _closed = write!(std::io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
