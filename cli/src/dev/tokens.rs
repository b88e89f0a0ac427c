//! Bearer tokens: random, in a file of their owner; configurations hold only their SHA-256.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use sha2::{Digest as _, Sha256};

use super::files::{self, Access};

/// 256 bits: nothing to guess.
const TOKEN_BYTES: usize = 32;

/// A token's file and the digest that configurations name.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) file: PathBuf,
    /// Lower-case hexadecimal.
    pub(super) sha256: String,
}

impl Token {
    /// Takes up the token in `directory`, or makes one where there is none yet.
    pub(super) fn open(directory: &Path, name: &str) -> Result<Self> {
        let file = directory.join(format!("{name}.token"));
        let secret = match files::read(&file)? {
            Some(text) if !text.trim().is_empty() => text.trim().to_owned(),
            _ => {
                let secret = generate()?;
                files::write(&file, format!("{secret}\n").as_bytes(), Access::Private)?;
                secret
            }
        };
        Ok(Self { file, sha256: sha256_hex(secret.as_bytes()) })
    }
}

fn generate() -> Result<String> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| OperatorError::new(ErrorKind::Io, "the system gives no random bytes for a token"))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push_str(&format!("{byte:02x}"));
        hex
    })
}
