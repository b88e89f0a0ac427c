//! Whether a watcher was told what it had to be: ordered, unique, complete, and with bookmarks that
//! promise no more than was told.

use std::collections::HashSet;
use std::time::Duration;

use meshkit_store::{Change, Filter, Position, Start, Told, View, Watch};

/// Bookmarks that come by time alone are not waited for.
pub const BOOKMARKS: Duration = Duration::from_secs(3600);

/// A watcher that keeps account of what it was told, through any number of resumptions.
#[derive(Debug)]
pub struct Watcher {
    filter: Filter,
    wanted: fn(&Change) -> bool,
    watch: Option<Watch>,
    token: String,
    begin: u64,
    told: Vec<(Position, Change, bool)>,
    last: Position,
}

impl Watcher {
    /// Watches from a revision on; `wanted` says the same as `filter`, by the record as it is.
    pub fn new(view: &View, filter: Filter, wanted: fn(&Change) -> bool, begin: u64) -> Self {
        let watch = view.watch(filter.clone(), &Start::After(begin), BOOKMARKS).unwrap();
        let token = watch.token();
        let last = Position::after(begin);
        Self { filter, wanted, watch: Some(watch), token, begin, told: Vec::new(), last }
    }

    /// Loses its connection.
    pub fn disconnect(&mut self) {
        self.watch = None;
    }

    /// Comes back with its token.
    pub fn resume(&mut self, view: &View) {
        let start = Start::Token(self.token.clone());
        self.watch = Some(view.watch(self.filter.clone(), &start, BOOKMARKS).unwrap());
    }

    /// Is told one thing; says whether it was a bookmark.
    pub async fn step(&mut self) -> bool {
        let watch = self.watch.as_mut().unwrap();
        let told = watch.next().await.unwrap().unwrap();
        self.token = watch.token();
        match told {
            Told::Event { event, matches } => {
                assert!(event.position() > self.last, "{event:?} is not behind {:?}", self.last);
                self.last = event.position();
                self.told.push((event.position(), event.change().clone(), matches));
                false
            }
            Told::Bookmark(position) => {
                assert!(position >= self.last, "{position:?} is before {:?}", self.last);
                self.last = position;
                true
            }
            Told::ResyncRequired { why } => panic!("resync: {why}"),
        }
    }

    /// Comes back and is told everything up to a revision.
    pub async fn finish(&mut self, view: &View, revision: u64) {
        view.revisions().wait_for(|applied| *applied >= revision).await.unwrap();
        // The bookmark that ends history comes at once on a new watch.
        self.resume(view);
        while !self.step().await {}
        assert!(self.last >= Position::after(revision), "{:?} is before {revision}", self.last);
    }

    /// Compares with the whole history of the store.
    pub fn check(&self, history: &[Change]) {
        let behind = history.iter().filter(|change| change.revision > self.begin);
        let wanted: Vec<_> = behind.clone().filter(|change| (self.wanted)(change)).collect();
        let matching: Vec<_> = self.told.iter().filter(|told| told.2).map(|told| &told.1).collect();
        assert_eq!(matching, wanted, "what matches is told, each once and in order");
        // What left the filter has to be told too.
        let mut inside: HashSet<(meshkit_model::Kind, &str)> = HashSet::new();
        let told: HashSet<_> = self.told.iter().map(|told| (told.1.revision, told.1.key.as_str())).collect();
        for change in history {
            let record = (change.kind, change.key.as_str());
            if (self.wanted)(change) {
                inside.insert(record);
            } else if inside.remove(&record) && change.revision > self.begin {
                assert!(told.contains(&(change.revision, record.1)), "{change:?} was not told");
            }
        }
        for (position, change, matches) in &self.told {
            assert_eq!((change.revision, *matches), (position.revision, (self.wanted)(change)));
            assert!(history.contains(change), "{change:?} never happened");
        }
    }
}

/// A reproducible source of dice: SplitMix64.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}
