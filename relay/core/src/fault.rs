//! Faults that a relay injects on purpose, and how they are ordered at `/omnirelay/control/faults`.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Where faults are read with GET and ordered with PUT.
pub const FAULTS: &str = "/omnirelay/control/faults";
/// Where orders are taken back with POST.
pub const CLEAR_FAULTS: &str = "/omnirelay/control/faults/clear";

/// The longest delay, in milliseconds.
const MAX_DELAY_MS: u64 = 60_000;
/// The longest time that an order counts for, one day, in milliseconds.
const MAX_FOR_MS: u64 = 86_400_000;

/// What is done to a route's calls. Nothing of both is no fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Calls that wait before they are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Calls that fail instead of being sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
}

/// Calls that wait before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Milliseconds, 1 to 60000.
    pub ms: u64,
    /// So many of a hundred calls, 1 to 100.
    #[serde(default = "all")]
    pub percent: u32,
}

/// Calls that fail instead of being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// The outcome, which is a failure.
    pub code: Code,
    /// So many of a hundred calls, 1 to 100.
    #[serde(default = "all")]
    pub percent: u32,
}

const fn all() -> u32 {
    100
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// How long it waits.
    pub delay: Option<Duration>,
    /// What it fails with after that.
    pub abort: Option<Code>,
}

impl Fault {
    /// Whether it does nothing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.delay.is_none() && self.abort.is_none()
    }

    /// What is wrong with it, and what to write instead.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        if self.delay.is_some_and(|delay| !(1..=MAX_DELAY_MS).contains(&delay.ms)) {
            return Some(("the delay of the fault is out of bounds", "choose 1 to 60000 ms"));
        }
        if self.abort.is_some_and(|abort| abort.code == Code::Ok) {
            return Some(("a call cannot be aborted with a success", "choose another `code` than `ok`"));
        }
        let percents = [self.delay.map(|delay| delay.percent), self.abort.map(|abort| abort.percent)];
        let is_off = percents.iter().flatten().any(|percent| !(1..=100).contains(percent));
        is_off.then_some(("a share of the fault is out of bounds", "choose a `percent` of 1 to 100"))
    }

    /// What becomes of a call, by 64 random bits.
    #[must_use]
    pub fn draw(&self, random: u64) -> Injected {
        let (low, high) = (random & 0xffff_ffff, random >> 32);
        let delay = self.delay.filter(|delay| low % 100 < u64::from(delay.percent));
        let abort = self.abort.filter(|abort| high % 100 < u64::from(abort.percent));
        Injected {
            delay: delay.map(|delay| Duration::from_millis(delay.ms)),
            abort: abort.map(|abort| abort.code),
        }
    }
}

impl Injected {
    /// The name in logs and traces; none where the call is left alone.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        match (self.delay.is_some(), self.abort.is_some()) {
            (true, true) => Some("delay,abort"),
            (true, false) => Some("delay"),
            (false, true) => Some("abort"),
            (false, false) => None,
        }
    }
}

/// What PUT takes at [`FAULTS`]: it stands in the place of the configured fault until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderFault {
    /// The route's name.
    pub route: String,
    /// Milliseconds that it counts for, 1 to a day.
    pub for_ms: u64,
    /// What is done; nothing at all holds the configured fault off.
    #[serde(default)]
    pub fault: Fault,
}

impl OrderFault {
    /// What is wrong with it, and what to write instead.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=MAX_FOR_MS).contains(&self.for_ms) {
            return Some(("the time of the order is out of bounds", "choose a `for_ms` of 1 to 86400000"));
        }
        self.fault.problem()
    }
}

/// What POST takes at [`CLEAR_FAULTS`]: the configuration counts again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearFaults {
    /// The route's name; all of them without it.
    #[serde(default)]
    pub route: Option<String>,
}

/// What [`FAULTS`] and [`CLEAR_FAULTS`] answer: the routes that have a fault or had one, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// The relay's name.
    pub node: String,
    /// Its routes.
    pub routes: Vec<RouteFault>,
}

/// The faults of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteFault {
    /// The route's name.
    pub route: String,
    /// What is done to its calls now.
    pub fault: Fault,
    /// What its configuration says.
    #[serde(default)]
    pub configured: Option<Fault>,
    /// Who ordered what is done now; none where it is the configuration's.
    #[serde(default)]
    pub by: Option<String>,
    /// Until when the order counts.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Calls that were delayed since the start.
    pub delayed: u64,
    /// Calls that were aborted since the start.
    pub aborted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_what_they_say_and_do_not_hang_together() {
        let fault = Fault {
            delay: Some(Delay { ms: 5, percent: 20 }),
            abort: Some(Abort { code: Code::Unavailable, percent: 50 }),
        };
        let (mut delayed, mut aborted, mut both) = (0, 0, 0);
        for number in 0..100_000_u64 {
            let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let injected = fault.draw(spread ^ (spread >> 29));
            delayed += u32::from(injected.delay.is_some());
            aborted += u32::from(injected.abort.is_some());
            both += u32::from(injected.name() == Some("delay,abort"));
        }
        assert!((19_000..21_000).contains(&delayed), "{delayed}");
        assert!((49_000..51_000).contains(&aborted), "{aborted}");
        assert!((9_000..11_000).contains(&both), "{both}");
        assert_eq!(Fault::default().draw(0), Injected::default());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let delay = |ms, percent| Fault { delay: Some(Delay { ms, percent }), abort: None };
        let abort = |code, percent| Fault { delay: None, abort: Some(Abort { code, percent }) };
        for bad in [
            delay(0, 1),
            delay(60_001, 1),
            delay(1, 0),
            delay(1, 101),
            abort(Code::Ok, 1),
            abort(Code::Internal, 0),
        ] {
            assert!(bad.problem().is_some(), "{bad:?}");
        }
        assert_eq!((delay(60_000, 100).problem(), abort(Code::Internal, 1).problem()), (None, None));
        let order = |for_ms| OrderFault { route: "r".to_owned(), for_ms, fault: Fault::default() };
        assert!(order(0).problem().is_some() && order(MAX_FOR_MS + 1).problem().is_some());
        assert_eq!(order(MAX_FOR_MS).problem(), None);
    }
}
