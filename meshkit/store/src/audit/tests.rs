#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::*;

fn chain(length: usize) -> Vec<AuditEntry> {
    let mut head = Head::START;
    let at = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
    (0..length)
        .map(|n| {
            let mutation = Mutation::new("ann", "peer.drain", at).refused(format!("peer/p{n}"), "no");
            head.refuse(&mutation, 7).unwrap()
        })
        .collect()
}

/// The hash is pinned: an audit that was exported once is verified by every later version.
#[test]
fn the_hash_stays_what_it_is() {
    let entry = chain(1).remove(0);
    assert_eq!(entry.hash.to_string(), "03585005618130ac6e2d7856d228ba6567fb0e4de88672191e2408604e87936c");
}

#[test]
fn an_export_comes_back_and_verifies() {
    let entries = chain(3);
    let lines: Vec<String> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    let back: Vec<AuditEntry> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(back, entries);
    assert_eq!(verify(&back).unwrap(), Head { number: 3, hash: entries[2].hash });
    assert_eq!(verify([]).unwrap(), Head::START);
}

#[test]
fn any_field_that_is_changed_breaks_the_chain() {
    let changes: [fn(&mut AuditEntry); 10] = [
        |entry| entry.revision += 1,
        |entry| entry.at = Timestamp::UNIX_EPOCH,
        |entry| entry.actor.push('x'),
        |entry| entry.action.push('x'),
        |entry| entry.ticket.push('x'),
        |entry| entry.reason.push('x'),
        |entry| entry.record.push('x'),
        |entry| entry.refused = None,
        |entry| entry.before = Some(String::new()),
        |entry| entry.hash = Hash::START,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut entries = chain(3);
        change(&mut entries[1]);
        assert_eq!(verify(&entries).unwrap_err().number, 2, "change {at}");
    }
    let mut moved = chain(1).remove(0);
    (moved.actor, moved.action) = ("an".to_owned(), "npeer.drain".to_owned());
    assert!(verify([&moved]).is_err(), "texts do not run into each other");
}

#[test]
fn odd_hashes_are_refused() {
    for text in ["", "00", "g".repeat(64).as_str(), "0".repeat(63).as_str(), "0".repeat(66).as_str()] {
        assert!(text.parse::<Hash>().is_err(), "{text}");
    }
    assert_eq!("0".repeat(64).parse::<Hash>().unwrap(), Hash::START);
}
