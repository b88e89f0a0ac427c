//! Writes the certificate authorities which the images carry to stdout, as PEM.
//!
//! They are those of `webpki-root-certs`, so `Cargo.lock` pins them and an update is a change one can review.

use std::io::{self, BufWriter, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write_pem(&mut out, webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(AsRef::as_ref))?;
    out.flush()
}

/// Writes each DER certificate as a PEM block with lines of 64 characters.
fn write_pem<'a>(out: &mut impl Write, certificates: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    for der in certificates {
        let text = STANDARD.encode(der);
        writeln!(out, "-----BEGIN CERTIFICATE-----")?;
        for line in text.as_bytes().chunks(64) {
            out.write_all(line)?;
            writeln!(out)?;
        }
        writeln!(out, "-----END CERTIFICATE-----")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
