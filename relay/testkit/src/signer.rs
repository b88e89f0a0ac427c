//! An issuer of tokens for tests: keys of every algorithm that is taken, and what they sign.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// Protects nothing: ring makes no RSA keys, and every RSA key of a test is this one.
const RSA: &str = concat!(
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCMovXB6pqcfN58PWjo1e+izRTnOBbGYjXY1Jufx2LYzilfAJp7bjXke/9J",
    "hde7dvnrN1aOkAsQhxBeaM0042wNcam1yEalIjC3dYnwEB5RjW2VADSSt35ICNGCtcKmT4KUtHWv+yJ/blTcnkIz5QnsM/VL1k5sLiEcxHSc",
    "v5B6A+jZBBbFQu5JEVeZNJ6VZk7IzqWp9rAG9C+2WvBrerPnD2GiHBVrBEGYn6WT4y7kOfL1fTNaCVCGc81GxIr4Tc13OT9hxMEmEXv0DOTi",
    "Iyr3ohR1T6Q6UTgL9PNxdXWW+ZON740/fgk0P+8+puLld9wBojCVKD/Rzmz4ucV/aDgRAgMBAAECggEABFvrYM6patRL/m8rg0auSM4xKaw0",
    "DdjEG9ZrLxv6VQdULPJTLM7mXhCh1wuOUOyHzoyb4uCqwcu4ltSKF8Dne9CGwXBVuuSWZ06orzIws7e91R0j2Vr/+lzw8YDkvvbpReavXHxc",
    "6LTowyB8o33Oku2sBWUSb96g1B1wEokK111KjzwgHL9VXkPU19NvK/4lbsPELN6fxxuMJBudrqWmmV5bsRPlVb01G4XZBYVCiQLL5JM3g74K",
    "D5/74Z5OJpOa3NjCQ1pipqc8B/1ymeV2KfwBGpNDKNOikqsvC+Qspuhg6J7E4sTPe/vpdCeZMExE8tQBiQ3vfpetVoqXCBarKQKBgQDBbqtP",
    "pIVhNngrM3k1x4i7eXnVhTyrw+xoxQRZk7FMabNJ4XvkjP3TqWiGKw2Snzp/PCwsymserM1gZ51/9QPxP74KJiNLA5UAUf812wwFGQhJ+EVz",
    "o9RvTIhaE0rZq8uU+HdcOx5BPb665Iz2/rP3yairLhKEaMlLjJoa6t2EtwKBgQC6IH5U7Dcxdexg84SWqmmJR/RpOfdZ/jivi5/LZ4o8Aidy",
    "0GOQBUbZDFU3WZeDyVMv6tSrSBd0xSTu5W4mixdEwtRLULimUEo9DdQ5vRBAPJg5vO4+3AmWoqMT+zVg+GiT1yCfuc4lyzpdbYttYoGybR8H",
    "6mLf5CAb2YXiiLuxdwKBgH0+bQm6Wupg3FoMkBT0R2Ir+2j3RhtpVm9X8cMWUBxL7FyP9So86DTeYeFNixI+qx+rFGdEASvxc2FSdbZeLNlO",
    "Dnx/ySZPAXEdpoN2e0fpt2Y9rKp9j5UpFrhL+ZELHVwtrQs49BQGKLLWPTfIHzr3hZCg2jiFqKCUP0viet/tAoGBAKlz/9AtJqq/I6+4xROu",
    "nlq/ycMrZQjnrJAV3CuBXpb3lxauppZuV2wwED1OMeVnm3baozg1cDV9bvyYoMoyg8K0ZjcTjKjOHGiteHQArxTsleKrIXTVO12LQFFmudhJ",
    "EFzY1PjWXtqFxeNdYjz6G/5n3oKEX/RaaukwBvaRaeBNAoGAMviZmK9BIaP7snQvW+vpUeS/M/3mOwdUihqDgh34QvaB8pUg1tF/zPZFUsRw",
    "hMMEtenlQEY7MIvnJuDC2FxPwZx9SCqxTi1ranmHgSr2XgHJNi3lpfVaV3jgcBhNzbjEbF5S5eXyIL8/0lzI54MYUUNLkp9jC7V3M+3Z11Gp",
    "frM=",
);

/// A key of an issuer, under the name that its tokens tell.
pub struct TokenKey {
    name: String,
    pair: Pair,
}

enum Pair {
    Rsa { pair: Box<RsaKeyPair>, algorithm: &'static str },
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TokenKey {
    /// A new key for ES256.
    ///
    /// # Panics
    /// Without random bytes, as the others.
    #[must_use]
    pub fn es256(name: &str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        Self { name: name.to_owned(), pair: Pair::P256(pair) }
    }

    /// A new key for EdDSA.
    ///
    /// # Panics
    /// Without random bytes.
    #[must_use]
    pub fn eddsa(name: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            name: name.to_owned(),
            pair: Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()),
        }
    }

    /// The one RSA key, for `RS256` or `PS256`.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn rsa(name: &str, algorithm: &'static str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA).unwrap()).unwrap();
        Self { name: name.to_owned(), pair: Pair::Rsa { pair: Box::new(pair), algorithm } }
    }

    /// The public key as a JSON Web Key.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa { pair, .. } => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({ "kty": "RSA", "n": text(&n), "e": text(&e) })
            }
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = self.name.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token that says `claims`.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({ "typ": "JWT", "alg": self.algorithm(), "kid": self.name }), claims)
    }

    /// A token under any header, whether it is true or not.
    ///
    /// # Panics
    /// Without random bytes.
    #[must_use]
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let (bytes, random) = (message.as_bytes(), SystemRandom::new());
        let signature = match &self.pair {
            Pair::Rsa { pair, algorithm } => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if *algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, bytes, &mut signature).unwrap();
                signature
            }
            Pair::P256(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa { algorithm, .. } => algorithm,
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }
}

/// The public keys as a JSON Web Key Set.
#[must_use]
pub fn key_set(keys: &[&TokenKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
