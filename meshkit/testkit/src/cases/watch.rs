//! Watches: ordered, unique, complete, resumable, bookmarked.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshkit_model::{Kind, Namespace, Peer, PeerStatus, Record as _};
use meshkit_store::{Change, Expect, Filter, Form, Position, Start, StoreError, Told, View, Watch, Write};

use crate::Subject;
use crate::records::{in_version, mutation, namespace, peer, put, put_shard, shard};
use crate::validator::{BOOKMARKS, Dice, Watcher};

fn is_peer(change: &Change) -> bool {
    change.kind == Kind::Peer && change.value.is_some()
}

fn is_dead(change: &Change) -> bool {
    is_peer(change) && change.value.as_ref().unwrap().contains("\"status\":\"dead\"")
}

fn is_about_p1(change: &Change) -> bool {
    is_peer(change) && change.key.starts_with("p1")
}

fn is_any(change: &Change) -> bool {
    change.value.is_some()
}

/// Writers, watchers that come, go and lag, and a store that is reopened, thrown together by dice:
/// in the end every watcher knows exactly what it has to.
pub async fn watches_tell_every_change_once_in_order(mut subject: impl Subject) {
    let filters: [(Filter, fn(&Change) -> bool); 4] = [
        (Filter::of([Kind::Peer]), is_peer),
        (Filter::of([Kind::Peer]).field("status", "dead"), is_dead),
        (Filter::of([Kind::Peer]).prefix("p1"), is_about_p1),
        (Filter::of([Kind::Namespace, Kind::Peer]), is_any),
    ];
    let mut dice = Dice(7);
    let mut view = View::open(subject.store().await).await.unwrap();
    let mut watchers: Vec<Watcher> = Vec::new();
    for _step in 0..400 {
        match dice.roll(20) {
            0 => {
                let (filter, wanted) = filters[usize::try_from(dice.roll(4)).unwrap()].clone();
                let begin = dice.roll(view.revision() + 1);
                watchers.push(Watcher::new(&view, filter, wanted, begin));
            }
            1 => {
                watchers.iter_mut().for_each(Watcher::disconnect);
                drop(view);
                view = View::open(subject.store().await).await.unwrap();
                watchers.iter_mut().for_each(|watcher| watcher.resume(&view));
            }
            2 if !watchers.is_empty() => {
                let at = usize::try_from(dice.roll(watchers.len() as u64)).unwrap();
                watchers[at].resume(&view);
            }
            3..=8 if !watchers.is_empty() => {
                let at = usize::try_from(dice.roll(watchers.len() as u64)).unwrap();
                for _told in 0..dice.roll(6) {
                    // Not beyond a bookmark: the next thing might never come.
                    if watchers[at].step().await {
                        watchers[at].resume(&view);
                        break;
                    }
                }
            }
            _ => write_something(&view, &mut dice).await,
        }
    }
    let last = view.revision();
    watchers.iter_mut().for_each(Watcher::disconnect);
    drop(view);
    let history = subject.store().await.changes(0, u32::MAX).await.unwrap().unwrap();
    let view = View::open(subject.store().await).await.unwrap();
    assert!(watchers.len() > 5);
    for watcher in &mut watchers {
        watcher.finish(&view, last).await;
        watcher.check(&history);
    }
}

/// One to three records put or deleted, as the dice have it.
async fn write_something(view: &View, dice: &mut Dice) {
    let mut writes = BTreeMap::new();
    for _write in 0..=dice.roll(3) {
        let key = format!("p{}", dice.roll(20));
        let known = view.get::<Peer>(&key);
        let write = match known {
            Some(known) if dice.roll(4) == 0 => Write::delete(&known),
            Some(mut known) => {
                known.status = PeerStatus::ALL[usize::try_from(dice.roll(4)).unwrap()];
                put(&known, Expect::Version(known.version()))
            }
            None => put(&peer(&key), Expect::Absent),
        };
        writes.insert(key, write);
    }
    let mut writes: Vec<_> = writes.into_values().collect();
    if dice.roll(5) == 0 {
        let expect = view.get::<Namespace>("orders").map_or(Expect::Absent, |n| Expect::Version(n.version()));
        writes.push(put(&namespace(4), expect));
    }
    view.commit(mutation(writes)).await.unwrap();
}

async fn put_peers(view: &View, names: &[&str]) -> u64 {
    let writes = names.iter().map(|name| put(&peer(name), Expect::Absent)).collect();
    view.commit(mutation(writes)).await.unwrap().revision
}

/// What comes next, shortened: keys of events, `|` for a bookmark, `!` for a resync.
async fn next(watch: &mut Watch) -> String {
    match watch.next().await.unwrap().unwrap() {
        Told::Event { event, matches: true } => event.change().key.clone(),
        Told::Event { event, matches: false } => format!("-{}", event.change().key),
        Told::Bookmark(_) => "|".to_owned(),
        Told::ResyncRequired { .. } => "!".to_owned(),
    }
}

async fn expect(watch: &mut Watch, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(watch).await, *expected);
    }
}

/// Now, behind a revision, within a revision, in the future, and not with somebody else's token.
pub async fn watches_begin_where_they_are_asked_to(mut subject: impl Subject) {
    let view = View::open(subject.store().await).await.unwrap();
    let peers = || Filter::of([Kind::Peer]);
    let watch = |start| view.watch(peers(), &start, BOOKMARKS).unwrap();
    put_peers(&view, &["a"]).await;
    put_peers(&view, &["b", "c", "d"]).await;
    let mut now = watch(Start::Now);
    expect(&mut now, &["|"]).await;
    let mut behind = watch(Start::After(1));
    expect(&mut behind, &["b"]).await;
    let within = behind.token();
    expect(&mut behind, &["c", "d", "|"]).await;
    let token = behind.token();
    expect(&mut watch(Start::Token(within)), &["c", "d", "|"]).await;
    let mut all = watch(Start::After(0));
    expect(&mut all, &["a", "b", "c", "d", "|"]).await;
    put_peers(&view, &["e"]).await;
    for watch in [&mut now, &mut behind, &mut all, &mut watch(Start::Token(token.clone()))] {
        expect(watch, &["e"]).await;
        assert_eq!(watch.position(), Position { revision: 3, index: 0 });
    }
    let other = Filter::of([Kind::Shard]);
    for (filter, token) in [(other, token.clone()), (peers(), format!("{token}x")), (peers(), "x".to_owned())]
    {
        let refused = view.watch(filter, &Start::Token(token), BOOKMARKS);
        assert!(matches!(refused, Err(StoreError::Invalid(_))));
    }
    // A listing from a node that is ahead: what came before it is not told.
    let mut ahead = watch(Start::After(4));
    let (told, revision) = tokio::join!(next(&mut ahead), async {
        put_peers(&view, &["f"]).await;
        put_peers(&view, &["g"]).await
    });
    assert_eq!(revision, 5);
    let told = if told == "|" { next(&mut ahead).await } else { told };
    assert_eq!(told, "g");
    let count = view.watchers();
    drop((now, behind, all, ahead));
    assert_eq!(view.watchers(), count - 4);
}

/// Who keeps a filtered list learns what is no longer in it.
pub async fn watches_tell_what_left_the_filter(mut subject: impl Subject) {
    let view = View::open(subject.store().await).await.unwrap();
    let alive = Filter::of([Kind::Peer]).field("status", "alive");
    let mut live = view.watch(alive.clone(), &Start::Now, BOOKMARKS).unwrap();
    put_peers(&view, &["a", "b"]).await;
    let dead = |name, version| Peer { status: PeerStatus::Dead, ..in_version(&peer(name), version) };
    view.commit(mutation(vec![put(&dead("a", 1), Expect::Version(1))])).await.unwrap();
    // Nobody who asked for the living knows of it any more.
    view.commit(mutation(vec![put(&dead("a", 2), Expect::Version(2))])).await.unwrap();
    view.commit(mutation(vec![Write::delete(&in_version(&peer("b"), 1))])).await.unwrap();
    put_peers(&view, &["c"]).await;
    let told = told_until(&mut live, "c").await;
    assert_eq!(told, ["a", "b", "-a", "-b", "c"]);
    drop((live, view));
    let view = View::open(subject.store().await).await.unwrap();
    // History does not know what was before, and tells rather too much.
    let mut late = view.watch(alive, &Start::After(0), BOOKMARKS).unwrap();
    expect(&mut late, &["a", "b", "-a", "-a", "-b", "c", "|"]).await;
}

/// Everything but bookmarks up to a key.
async fn told_until(watch: &mut Watch, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some(last) {
        let next = next(watch).await;
        if next != "|" {
            told.push(next);
        }
    }
    told
}

/// A watcher that falls behind what is kept in memory gets it from the store.
pub async fn slow_watchers_miss_nothing(mut subject: impl Subject) {
    let view = View::open(subject.store().await).await.unwrap();
    let shards = Filter::of([Kind::Shard]).field("namespace", "orders");
    let mut slow = view.watch(shards.clone(), &Start::Now, BOOKMARKS).unwrap();
    expect(&mut slow, &["|"]).await;
    for from in [0, 1_000, 2_000] {
        let writes = (from..from + 1_000).map(|n| put_shard(&shard(n, None, 1), Expect::Absent, 0));
        view.commit(mutation(writes.collect())).await.unwrap();
    }
    let mut late = view.watch(shards, &Start::After(0), BOOKMARKS).unwrap();
    for watch in [&mut slow, &mut late] {
        for n in 0..3_000 {
            assert_eq!(next(watch).await, format!("orders/{n}"));
        }
    }
    expect(&mut late, &["|"]).await;
}

/// A gap is told, never passed over.
pub async fn forgotten_changes_need_a_resync(mut subject: impl Subject) {
    subject.keep(20);
    let view = View::open(subject.store().await).await.unwrap();
    let peers = || Filter::of([Kind::Peer]);
    let mut early = view.watch(peers(), &Start::Now, BOOKMARKS).unwrap();
    put_peers(&view, &["first"]).await;
    expect(&mut early, &["first"]).await;
    let token = early.token();
    let mut slow = view.watch(Filter::of([Kind::Shard]), &Start::Now, BOOKMARKS).unwrap();
    for n in 0..400 {
        put_peers(&view, &[&format!("p{n}")]).await;
    }
    for from in [0, 1_000, 2_000] {
        let writes = (from..from + 1_000).map(|n| put_shard(&shard(n, None, 1), Expect::Absent, 0));
        view.commit(mutation(writes.collect())).await.unwrap();
    }
    expect(&mut slow, &["!"]).await;
    assert!(slow.next().await.unwrap().is_none(), "it ends there");
    drop((early, slow, view));
    let view = View::open(subject.store().await).await.unwrap();
    for start in [Start::Token(token), Start::After(1), Start::After(0)] {
        let mut late = view.watch(peers(), &start, BOOKMARKS).unwrap();
        expect(&mut late, &["!"]).await;
        assert!(late.next().await.unwrap().is_none(), "it ends there");
    }
    // As told: list, and watch from there.
    let mut again = view.watch(peers(), &Start::After(view.revision()), BOOKMARKS).unwrap();
    expect(&mut again, &["|"]).await;
    put_peers(&view, &["last"]).await;
    expect(&mut again, &["last"]).await;
}

/// However many see an event, it is one event that was written once.
pub async fn many_watchers_share_one_event(mut subject: impl Subject) {
    let view = View::open(subject.store().await).await.unwrap();
    let mut watchers: Vec<_> = (0..1_000)
        .map(|n| {
            let filter = match n % 3 {
                0 => Filter::of([Kind::Peer]),
                1 => Filter::of([Kind::Peer]).prefix("a"),
                _ => Filter::of([Kind::Peer]).prefix(format!("a{n}")),
            };
            view.watch(filter, &Start::Now, BOOKMARKS).unwrap()
        })
        .collect();
    put_peers(&view, &["a2"]).await;
    let (mut seen, mut written) = (Vec::new(), 0);
    for (n, watch) in watchers.iter_mut().enumerate() {
        if n % 3 == 2 && n != 2 {
            continue;
        }
        let told = loop {
            match watch.next().await.unwrap().unwrap() {
                Told::Event { event, .. } => break event,
                Told::Bookmark(_) => {}
                Told::ResyncRequired { why } => panic!("{why}"),
            }
        };
        let bytes = told.encoded(Form::Json, |event| {
            written += 1;
            event.change().key.clone().into_bytes().into()
        });
        assert_eq!(&bytes[..], b"a2");
        seen.push(told);
    }
    assert_eq!((seen.len(), written), (668, 1));
    assert!(seen.iter().all(|event| Arc::ptr_eq(event, &seen[0])));
    assert_eq!(view.watchers(), 1_000);
}
