//! Following changes: who watches is told of every change that concerns it, in order, once, and
//! never without knowing that something is missing.
//!
//! Read first: [`View::watch`] begins; [`Watch::next`] gives [`Told`] after [`Told`]. Watchers with
//! the same filter share one ring of events, so that a change is matched once a filter and encoded
//! once a form, however many see it. A watcher has no queue of its own: one that falls behind the
//! ring is given what it missed from the store's history, and where that is gone it is told so.

mod event;
mod filter;
mod hub;
mod token;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::view::View;

pub use event::{Event, Form, Position};
pub use filter::Filter;
pub(crate) use hub::Hub;
use hub::{Group, Ticket};
use token::Resumed;

/// Changes read from history at once.
const HISTORY: u32 = 256;
/// How long a watcher waits for a revision that this node has not seen yet.
const AHEAD: Duration = Duration::from_secs(5);

/// Where a watch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next change.
    Now,
    /// Behind a revision, as a listing told it.
    After(u64),
    /// Where another watch with the same filter stood: a token that [`Watch::token`] gave.
    Token(String),
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// A record changed.
    Event {
        /// How.
        event: Arc<Event>,
        /// Whether the record is one that the filter asks for now. If not, it was deleted, or it no
        /// longer is one, or it may never have been: whoever keeps it forgets it.
        matches: bool,
    },
    /// Nothing more happened up to here: at first, once history was told, and then at times of quiet.
    Bookmark(Position),
    /// What happened meanwhile is no longer known. The watch has ended; whoever needs to know lists
    /// everything anew and watches from the revision of that listing.
    ResyncRequired {
        /// Why, for people.
        why: &'static str,
    },
}

/// One watcher's place in the changes.
#[derive(Debug)]
pub struct Watch {
    view: View,
    filter: Filter,
    group: Arc<Group>,
    woken: watch::Receiver<u64>,
    position: Position,
    /// Events that were taken and not told yet; bounded by what is taken at once.
    taken: VecDeque<Arc<Event>>,
    /// Set where `taken` came from history, where nobody knows what a record was before: how far
    /// it goes.
    history_to: Option<Position>,
    bookmark_every: Duration,
    bookmark_at: Instant,
    /// Whether the end of history was told.
    is_synced: bool,
    ended: Option<&'static str>,
    is_over: bool,
    _ticket: Ticket,
}

impl View {
    /// Watches changes. Without events a bookmark comes every `bookmark_every`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a token that is not ours or belongs to another filter,
    /// [`StoreError::Unavailable`] where too many watch already.
    pub fn watch(
        &self,
        filter: Filter,
        start: &Start,
        bookmark_every: Duration,
    ) -> Result<Watch, StoreError> {
        let ticket = self.hub().admit()?;
        let (group, revision) = self.hub().join(&filter);
        let (position, ended) = match start {
            Start::Now => (Position::after(revision), None),
            Start::After(revision) => (Position::after(*revision), None),
            Start::Token(token) => match token::read(self.identity(), &filter, token)? {
                Resumed::At(position) => (position, None),
                Resumed::Elsewhere(why) => (Position::after(revision), Some(why)),
            },
        };
        Ok(Watch {
            woken: group.woken(),
            view: self.clone(),
            filter,
            group,
            position,
            taken: VecDeque::new(),
            history_to: None,
            is_synced: false,
            bookmark_every,
            bookmark_at: Instant::now() + bookmark_every,
            ended,
            is_over: false,
            _ticket: ticket,
        })
    }
}

impl Watch {
    /// The next thing to be told; none once the watch has ended, which it says before. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// What the store says when history is read; calling again tries again.
    pub async fn next(&mut self) -> Result<Option<Told>, StoreError> {
        loop {
            if self.is_over {
                return Ok(None);
            }
            if let Some(why) = self.ended {
                self.is_over = true;
                return Ok(Some(Told::ResyncRequired { why }));
            }
            if let Some(told) = self.tell() {
                return Ok(Some(told));
            }
            let published = self.view.hub().published();
            if self.position.revision > published {
                self.wait_for_position().await;
                continue;
            }
            match self.group.after(self.position) {
                Some(events) if events.is_empty() => {
                    if !self.is_synced || Instant::now() >= self.bookmark_at {
                        return Ok(Some(self.bookmark(published)));
                    }
                    self.rest().await;
                }
                Some(events) => (self.taken, self.history_to) = (events, None),
                None => self.read_history(published).await?,
            }
        }
    }

    /// A token that another watch with the same filter begins with where this one stands, on any
    /// node of the store.
    #[must_use]
    pub fn token(&self) -> String {
        token::write(self.view.identity(), &self.filter, self.position)
    }

    /// Where the watch stands: everything up to here was told.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The watch as a stream of what `write` makes of it, such as frames with the token of
    /// [`token`](Self::token). It ends behind [`Told::ResyncRequired`].
    pub fn stream<T>(
        self,
        write: impl FnMut(&Self, Told) -> T + Send,
    ) -> impl Stream<Item = Result<T, StoreError>> + Send
    where
        T: Send,
    {
        stream::unfold((self, write), |(mut watch, mut write)| async move {
            let told = watch.next().await.transpose()?;
            let item = told.map(|told| write(&watch, told));
            Some((item, (watch, write)))
        })
    }

    /// The next event that was taken and concerns this watcher.
    fn tell(&mut self) -> Option<Told> {
        while let Some(event) = self.taken.pop_front() {
            if event.position() <= self.position {
                continue;
            }
            self.position = event.position();
            let matches = self.filter.matches(&event);
            let concerns = matches || self.filter.matched(&event, self.history_to.is_some());
            if concerns {
                self.bookmark_at = Instant::now() + self.bookmark_every;
                return Some(Told::Event { event, matches });
            }
        }
        // Revisions come whole from history, so all of them were told.
        if let Some(end) = self.history_to.take() {
            self.position = self.position.max(end);
        }
        None
    }

    /// A bookmark at a revision whose events all stood in the ring when it was found empty.
    fn bookmark(&mut self, published: u64) -> Told {
        self.position = self.position.max(Position::after(published));
        self.bookmark_at = Instant::now() + self.bookmark_every;
        self.is_synced = true;
        Told::Bookmark(self.position)
    }

    /// Waits for an event or the time of the next bookmark.
    async fn rest(&mut self) {
        let due = tokio::time::sleep_until(self.bookmark_at);
        tokio::select! {
            // The sender lives as long as the group that this watch holds.
            _ = self.woken.changed() => {}
            () = due => {}
        }
    }

    /// A listing from another node may be ahead of this one, for a while.
    async fn wait_for_position(&mut self) {
        let mut revisions = self.view.revisions();
        let arrived = revisions.wait_for(|revision| *revision >= self.position.revision);
        if tokio::time::timeout(AHEAD, arrived).await.is_err() {
            self.ended = Some("the store has not come that far; it may have been replaced");
        }
    }

    /// Takes what the ring no longer has from the store's history.
    async fn read_history(&mut self, published: u64) -> Result<(), StoreError> {
        // A revision that was told in part is read again as a whole.
        let after = self.position.whole_before();
        let Some(changes) = self.view.store().changes(after, HISTORY).await? else {
            self.ended = Some("the changes since then are no longer kept");
            return Ok(());
        };
        match changes.last() {
            None => self.position = self.position.max(Position::after(published)),
            Some(last) => {
                self.history_to = Some(Position::after(last.revision));
                let events = Event::of_history(&changes)?;
                self.taken = events.into_iter().filter(|event| self.filter.is_about(event)).collect();
            }
        }
        Ok(())
    }
}
