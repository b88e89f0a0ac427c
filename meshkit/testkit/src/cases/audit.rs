//! The audit and its chain.

use meshkit_model::Kind;
use meshkit_store::audit::{AuditQuery, Head, verify};
use meshkit_store::{Expect, Mutation, Store, Write};

use crate::Subject;
use crate::records::{at, commit, in_version, mutation, namespace, peer, put};

fn oldest_first() -> AuditQuery {
    AuditQuery { oldest_first: true, limit: 10_000, ..AuditQuery::default() }
}

/// Who changed what, and why.
pub async fn audit_tells_before_and_after(mut subject: impl Subject) {
    for expect in [Expect::Absent, Expect::Version(1)] {
        commit(&*subject.store().await, vec![put(&peer("a"), expect)]).await.unwrap();
    }
    let gone = Write::delete(&in_version(&peer("a"), 2));
    commit(&*subject.store().await, vec![gone]).await.unwrap();
    let newest = AuditQuery { limit: 2, ..AuditQuery::default() };
    let entries = subject.store().await.audit(newest).await.unwrap();
    let [deleted, entry] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!((entry.number, entry.revision, entry.at), (2, 2, at(2_000)));
    assert_eq!((entry.actor.as_str(), entry.reason.as_str()), ("tester", "because"));
    assert_eq!((entry.action.as_str(), entry.ticket.as_str()), ("test.write", "T-1"));
    assert_eq!((entry.record.as_str(), &entry.refused), ("peer/a", &None));
    assert!(entry.before.as_ref().unwrap().contains("\"recordVersion\":1"));
    assert!(entry.after.as_ref().unwrap().contains("\"recordVersion\":2"));
    assert_eq!((deleted.number, &deleted.before, &deleted.after), (3, &entry.after, &None));
}

/// Whatever is changed in the audit later shows.
pub async fn audit_is_a_chain(mut subject: impl Subject) {
    for n in 0..6 {
        let writes = ["x", "y"].map(|x| put(&peer(&format!("{x}{n}")), Expect::Absent));
        commit(&*subject.store().await, writes.into()).await.unwrap();
    }
    let entries = subject.store().await.audit(oldest_first()).await.unwrap();
    let head = verify(&entries).unwrap();
    assert_eq!(head, Head { number: 12, hash: entries[11].hash });
    assert_eq!(verify(&entries[4..]).unwrap(), head, "any part of it is a chain");
    let mut rewritten = entries.clone();
    rewritten[5].actor = "somebody else".to_owned();
    assert_eq!(verify(&rewritten).unwrap_err().number, 6);
    let mut without = entries.clone();
    without.remove(5);
    assert_eq!(verify(&without).unwrap_err().number, 7);
    let mut swapped = entries;
    swapped.swap(4, 5);
    assert!(verify(&swapped).is_err());
}

/// Every filter holds, alone and with paging.
pub async fn audit_is_queried(mut subject: impl Subject) {
    let store = subject.store().await;
    for (n, (actor, action, ticket)) in
        [("ann", "peer.cordon", ""), ("bob", "peer.cordon", "T-2"), ("ann", "peer.drain", "T-2")]
            .into_iter()
            .enumerate()
    {
        let name = format!("p{n}");
        let when = at(1_000 * i64::try_from(n).unwrap());
        let write = put(&peer(&name), Expect::Absent);
        store.commit(Mutation::new(actor, action, when).ticket(ticket).write(write)).await.unwrap();
    }
    let write = put(&namespace(4), Expect::Absent);
    store.commit(Mutation::new("ann", "namespace.declare", at(3_000)).write(write)).await.unwrap();
    store.commit(Mutation::new("eve", "peer.drain", at(4_000)).refused("peer/p0", "no")).await.unwrap();
    drop(store);
    let store = subject.store().await;
    let some = |text: &str| Some(text.to_owned());
    let any = AuditQuery { limit: 10, ..AuditQuery::default() };
    for (query, expected) in [
        (AuditQuery { actor: some("ann"), ..any.clone() }, vec![4, 3, 1]),
        (AuditQuery { action: some("peer.cordon"), ..any.clone() }, vec![2, 1]),
        (AuditQuery { ticket: some("T-2"), ..any.clone() }, vec![3, 2]),
        (AuditQuery { record: some("peer/p0"), ..any.clone() }, vec![5, 1]),
        (AuditQuery { kind: Some(Kind::Namespace), ..any.clone() }, vec![4]),
        (AuditQuery { kind: Some(Kind::Peer), refused: Some(false), ..any.clone() }, vec![3, 2, 1]),
        (AuditQuery { refused: Some(true), ..any.clone() }, vec![5]),
        (AuditQuery { from: Some(at(1_000)), until: Some(at(3_000)), ..any.clone() }, vec![3, 2]),
        (AuditQuery { after: Some(4), limit: 2, ..any.clone() }, vec![3, 2]),
        (AuditQuery { after: Some(2), limit: 2, oldest_first: true, ..any.clone() }, vec![3, 4]),
        (AuditQuery { actor: some("nobody"), ..any.clone() }, vec![]),
    ] {
        let found = store.audit(query.clone()).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, expected, "{query:?}");
        assert!(found.iter().all(|entry| query.matches(entry)), "{query:?}");
    }
}

/// What was not done stands in the audit and nowhere else.
pub async fn refusals_are_audited(mut subject: impl Subject) {
    commit(&*subject.store().await, vec![put(&peer("a"), Expect::Absent)]).await.unwrap();
    let refusal = Mutation::new("eve", "peer.drain", at(4_000)).refused("peer/a", "needs mesh.operate");
    let done = subject.store().await.commit(refusal).await.unwrap();
    assert_eq!((done.revision, done.versions), (1, vec![]));
    let store = subject.store().await;
    assert_eq!(*store.revisions().borrow(), 1);
    assert_eq!(store.changes(0, 10).await.unwrap().unwrap().len(), 1);
    let entries = store.audit(oldest_first()).await.unwrap();
    let refused = &entries[1];
    assert_eq!((refused.number, refused.revision), (2, 1));
    assert_eq!((refused.actor.as_str(), refused.action.as_str()), ("eve", "peer.drain"));
    assert_eq!(refused.refused.as_deref(), Some("needs mesh.operate"));
    assert_eq!((&refused.before, &refused.after), (&None, &None));
    commit(&*store, vec![put(&peer("b"), Expect::Absent)]).await.unwrap();
    let entries = store.audit(oldest_first()).await.unwrap();
    assert_eq!(verify(&entries).unwrap().number, 3);
    let both = mutation(vec![put(&peer("c"), Expect::Absent)]).refused("peer/c", "no");
    assert!(store.commit(both).await.is_err(), "what is refused writes nothing");
    assert_eq!(Store::audit(&*store, oldest_first()).await.unwrap().len(), 3);
}
