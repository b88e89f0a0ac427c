//! What came back, for people and for programs.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use omnirelay_runtime::Result;
use relay_core::{DowngradeReason, Encoding, Protocol, Status};
use serde_json::{Value, json};

use super::Call;
use crate::output::{self, Notation, TextFormat};
use crate::remote;

/// An answer and how it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body in the encoding of the call, or why there is none.
    pub(crate) outcome: Result<Bytes, Status>,
    pub(crate) protocol: Protocol,
    pub(crate) downgrade: Option<DowngradeReason>,
    pub(crate) elapsed: Duration,
}

impl Answer {
    /// Prints the answer; the exit code is that of its status.
    pub(super) fn print(&self, format: TextFormat, relay: &str, call: &Call) -> Result<ExitCode> {
        match format.notation() {
            None => self.print_text(call),
            Some(notation) => self.print_document(notation, relay, call),
        }
    }

    fn print_text(&self, call: &Call) -> Result<ExitCode> {
        let line = match &self.outcome {
            Ok(_) => self.line("ok", call.encoding),
            Err(status) => self.line(status.code.name(), call.encoding),
        };
        let bytes = match &self.outcome {
            Ok(bytes) => bytes,
            Err(status) => {
                output::note(&line);
                return Err(remote::status_error(status));
            }
        };
        let mut body = text(bytes, call)?.into_bytes();
        if body.last() != Some(&b'\n') {
            body.push(b'\n');
        }
        output::print_bytes(&body)?;
        output::note(&line);
        Ok(ExitCode::SUCCESS)
    }

    /// `ok over http2 (no-quic-reply), json, 3.2 ms`
    fn line(&self, status: &str, encoding: Encoding) -> String {
        let downgrade = self.downgrade.map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!(
            "{status} over {}{downgrade}, {encoding}, {:.1} ms",
            self.protocol,
            self.elapsed.as_secs_f64() * 1e3
        )
    }

    fn print_document(&self, notation: Notation, relay: &str, call: &Call) -> Result<ExitCode> {
        let mut document = json!({
            "status": "ok",
            "relay": relay,
            "protocol": self.protocol,
            "downgrade": self.downgrade,
            "encoding": call.encoding,
            "elapsed_ms": (self.elapsed.as_secs_f64() * 1e6).round() / 1e3,
        });
        let code = match &self.outcome {
            Ok(bytes) => {
                let text = text(bytes, call)?;
                document["body"] = serde_json::from_str(&text).unwrap_or(Value::String(text));
                ExitCode::SUCCESS
            }
            Err(status) => {
                let error = remote::status_error(status);
                document["status"] = status.code.name().into();
                document["error"] = error.to_json();
                ExitCode::from(error.kind().exit_code())
            }
        };
        output::print_document(notation, &document)?;
        Ok(code)
    }
}

/// The body as text: JSON as it came, protobuf as the JSON of its contract.
pub(crate) fn text(bytes: &Bytes, call: &Call) -> Result<String> {
    match (&call.contract, call.encoding) {
        (Some(contract), Encoding::Protobuf) => contract.decode(bytes),
        _ => Ok(String::from_utf8_lossy(bytes).into_owned()),
    }
}
