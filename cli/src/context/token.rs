//! The bearer token of a context: from a file, or from a program that prints it.

use std::io::Read as _;
use std::process::{Command, Stdio};

use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};

use super::Context;

/// A token stands in a header; more is a mistake.
const MAX_TOKEN_BYTES: u64 = 8 << 10;

impl Context {
    /// The bearer token, where the context says where it is. A program may ask a person on the terminal, so it is
    /// waited for.
    pub(crate) fn bearer(&self) -> Result<Option<Bearer>> {
        let (what, hint) = match (&self.token_file, self.token_command.first()) {
            (Some(path), _) => (
                format!("the token file `{}` cannot be used", path.display()),
                "`token_file` names a readable file with one line, the token",
            ),
            (None, Some(program)) => (
                format!("`{program}` gives no token"),
                "`token_command` names a program and its arguments, whose output is one line, the token",
            ),
            (None, None) => return Ok(None),
        };
        let failed = |cause: &str| {
            OperatorError::new(ErrorKind::Config, what.clone())
                .because(cause)
                .at(self.origin.display().to_string())
                .hint(hint)
        };
        let bytes = match &self.token_file {
            Some(path) => file::read_at_most(path, MAX_TOKEN_BYTES).map_err(|error| error.to_string()),
            None => printed(&self.token_command),
        };
        let bytes = bytes.map_err(|cause| failed(&cause))?;
        let text = String::from_utf8_lossy(&bytes);
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(failed("it holds no token"));
        }
        Ok(Some(Bearer(token.to_owned())))
    }
}

/// What a program prints; what it says on standard error goes to the user.
fn printed(command: &[String]) -> Result<Vec<u8>, String> {
    let [program, arguments @ ..] = command else { return Err("it is empty".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = child.stdout.take().map(|out| out.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut bytes));
    // With its output closed a program that says too much ends too.
    let status = child.wait().map_err(|error| error.to_string())?;
    if let Some(Err(error)) = read {
        return Err(error.to_string());
    }
    if bytes.len() as u64 > MAX_TOKEN_BYTES {
        return Err(format!("it prints more than {MAX_TOKEN_BYTES} bytes"));
    }
    if status.success() { Ok(bytes) } else { Err(format!("it ended with {status}")) }
}

/// A bearer token; it shows nothing of itself.
#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Bearer {
    /// The token itself, for the one header that carries it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}
