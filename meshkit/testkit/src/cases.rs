//! The cases, each a function over a [`Subject`](crate::Subject).

mod audit;
mod changes;
mod view;
mod watch;
mod writes;

pub use audit::*;
pub use changes::*;
pub use view::*;
pub use watch::*;
pub use writes::*;
