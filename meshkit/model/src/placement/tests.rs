#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::collections::BTreeSet;

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
fn no_shards_and_no_candidates_are_no_trouble() {
    assert_eq!(shard_of_key(b"any", 0), 0);
    assert_eq!(Candidates::default().owner("orders", 0), None);
}

#[test]
fn shards_spread_evenly() {
    let peers: Vec<_> = (0..10).map(|n| peer(format!("peer-{n}"))).collect();
    let candidates = Candidates::new(&peers);
    let mut owned = vec![0_u32; peers.len()];
    for shard in 0..10_000 {
        let owner = candidates.owner("orders", shard).unwrap();
        let at = peers.iter().position(|p| p == owner).unwrap();
        owned[at] += 1;
    }
    // A thousand each, give or take four standard deviations (30 each) of fair dice.
    assert!(owned.iter().all(|count| (880..=1120).contains(count)), "{owned:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever joins takes shards only for itself; whoever leaves gives up only its own.
    #[test]
    fn movement_is_minimal(
        names in proptest::collection::btree_set("[a-z0-9]{1,12}", 1..20),
        joining in "[A-Z]{3}",
        namespace in "[a-z]{1,8}",
    ) {
        let joining = peer(format!("new.{}", joining.to_lowercase()));
        let before: BTreeSet<_> = names.into_iter().map(peer).collect();
        let mut after = before.clone();
        after.insert(joining.clone());
        let (before, after) = (Candidates::new(&before), Candidates::new(&after));
        for shard in 0..256 {
            let (old, new) = (before.owner(&namespace, shard), after.owner(&namespace, shard));
            prop_assert!(new == old || new == Some(&joining));
        }
    }

    /// The order in which peers are named does not matter.
    #[test]
    fn owners_do_not_depend_on_order(
        names in proptest::collection::vec("[a-z0-9]{1,12}", 1..20),
        shard in any::<u32>(),
    ) {
        let mut peers: Vec<_> = names.into_iter().map(peer).collect();
        let forth = Candidates::new(&peers).owner("orders", shard).cloned();
        peers.reverse();
        let back = Candidates::new(&peers);
        prop_assert_eq!(forth.as_ref(), back.owner("orders", shard));
    }

    #[test]
    fn keys_fall_into_the_namespace(key in proptest::collection::vec(any::<u8>(), 0..64), shards in 1_u32..70_000) {
        prop_assert!(shard_of_key(&key, shards) < shards);
    }
}
