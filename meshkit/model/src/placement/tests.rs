#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::*;

use super::*;

fn peer(id: impl Into<String>) -> PeerId {
    PeerId::new(id).unwrap()
}

/// The vectors of the module's documentation; made by another implementation, in Python.
#[test]
fn published_vectors() {
    assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
    assert_eq!(hash(b"order-1"), 0x491b_422e_3af0_d9a5);
    assert_eq!(hash("ÿ€".as_bytes()), 0xb5ec_4ade_9910_86b1);
    assert_eq!(shard_of_key(b"order-1", 64), 37);
    assert_eq!(shard_of_key(b"order-1", 65_536), 55_717);
    assert_eq!(shard_of_key("ключ".as_bytes(), 7), 2);
    assert_eq!(score("orders", 0, &peer("greeter-1")), 0xdae0_0966_412e_0c71);
    assert_eq!(score("orders", 63, &peer("greeter-1")), 0xdfa9_ec88_bc40_4cd6);
    assert_eq!(score("orders", 63, &peer("greeter-2")), 0x68d9_a9dd_36f1_8a05);
}

#[test]
fn documentation_and_tests_say_the_same() {
    let docs = include_str!("../placement.rs");
    for vector in [
        format!("`hash(\"order-1\")` | `{:#018x}`", hash(b"order-1")),
        format!("`shard(\"order-1\", 65536)` | {}", shard_of_key(b"order-1", 65_536)),
        format!(
            "`score(\"orders\", 63, \"greeter-2\")` | `{:#018x}`",
            score("orders", 63, &peer("greeter-2"))
        ),
    ] {
        assert!(docs.contains(&vector), "the documentation lacks {vector}");
    }
}

#[test]
fn no_shards_are_no_trouble() {
    assert_eq!(shard_of_key(b"any", 0), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_fall_into_the_namespace(key in proptest::collection::vec(any::<u8>(), 0..64), shards in 1_u32..70_000) {
        prop_assert!(shard_of_key(&key, shards) < shards);
    }
}

#[test]
fn the_model_agrees_with_the_published_vectors() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../proto/shard-hash.json")).unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    for vector in vectors["hashes"].as_array().unwrap() {
        let found = hash(&bytes(vector["hex"].as_str().unwrap()));
        assert_eq!(format!("{found:016x}"), vector["hash"].as_str().unwrap());
    }
    for vector in vectors["lookups"].as_array().unwrap() {
        let shards = u32::try_from(vector["shards"].as_u64().unwrap()).unwrap();
        let found = shard_of_key(&bytes(vector["hex"].as_str().unwrap()), shards);
        assert_eq!(u64::from(found), vector["shard"].as_u64().unwrap());
    }
}
