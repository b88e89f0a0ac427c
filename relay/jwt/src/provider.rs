//! The product's one cryptography provider behind `jsonwebtoken`: it verifies with ring, and signs nothing.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::Provider("this product signs no tokens".to_owned()).into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` verify with ring.
pub(crate) fn install() {
    // Refused where it is installed already.
    let _already = RING.install_default();
}

enum Key {
    Rsa { n: Vec<u8>, e: Vec<u8>, parameters: &'static RsaParameters },
    Point { bytes: Vec<u8>, algorithm: &'static dyn VerificationAlgorithm },
}

struct Ring {
    key: Key,
    algorithm: Algorithm,
}

/// A verifier where key and algorithm are of one kind.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let key = match (algorithm, key.family(), key.kind()) {
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Key::Rsa { n: n.clone(), e: e.clone(), parameters: &RSA_PKCS1_2048_8192_SHA256 }
        }
        (Algorithm::PS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Key::Rsa { n: n.clone(), e: e.clone(), parameters: &RSA_PSS_2048_8192_SHA256 }
        }
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(bytes)) => {
            Key::Point { bytes: bytes.clone(), algorithm: &ECDSA_P256_SHA256_FIXED }
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(bytes)) => {
            Key::Point { bytes: bytes.clone(), algorithm: &ED25519 }
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(Ring { key, algorithm: *algorithm }))
}

impl signature::Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match &self.key {
            Key::Rsa { n, e, parameters } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Key::Point { bytes, algorithm } => {
                UnparsedPublicKey::new(*algorithm, bytes).verify(message, signature)
            }
        };
        verified.map_err(|_unspecified| signature::Error::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
