//! What a service does that owns shards.

use super::core::Place;

/// A service that owns shards. [`ShardHost`](super::ShardHost) calls these for one shard one after another, for
/// different shards at once.
pub trait ShardOwner: Send + Sync + 'static {
    /// Makes itself ready for a shard that it does not own yet: opens files, fills caches. The owner of before may
    /// still be serving it.
    fn warm(&self, place: &Place) -> impl Future<Output = ()> + Send;

    /// It owns the shard from now on, under this fence; calls come in once this returns. Nobody else carries out
    /// calls any more, so what the owner of before left can be taken over.
    fn acquire(&self, place: &Place, fence: u64) -> impl Future<Output = ()> + Send;

    /// It is to hand the shard over to `successor`: no call is under way any more and none comes in. Once this
    /// returns the successor serves.
    fn drain(&self, place: &Place, fence: u64, successor: &str) -> impl Future<Output = ()> + Send;

    /// It has nothing to do with the shard any more, or has to begin anew: whatever it holds of it is dropped.
    fn release(&self, place: &Place) -> impl Future<Output = ()> + Send;

    /// What the shard carries, in calls a second.
    fn load(&self, _place: &Place) -> f64 {
        0.0
    }
}
