//! Who gossips, and what it says about itself.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;

use meshkit_model::{Invalid, PeerId};

/// How a member fares, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It does its work.
    #[default]
    Ready,
    /// It lives and cannot do its work now.
    NotReady,
    /// It leaves; what is told of it from then on is that it left.
    Leaving,
}

impl Health {
    /// The name that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Leaving => "leaving",
        }
    }
}

/// What a member says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the mesh; the last segment of the SPIFFE id in its certificate.
    pub id: PeerId,
    /// Which process of that name: greater for a later one.
    pub generation: u64,
    /// Grows each time that it comes back where others took it for dead.
    pub edition: u32,
    /// Where it takes gossip.
    pub address: SocketAddr,
    /// What it is, such as `control-plane`.
    pub role: String,
    /// Its cluster.
    pub cluster: String,
    /// Its zone.
    pub zone: String,
    /// Its software version.
    pub version: String,
    /// Grows with each change of what follows.
    pub said: u32,
    /// How it fares.
    pub health: Health,
    /// The store revision that its view stood at when it said so.
    pub map_version: u64,
}

impl Member {
    /// The most bytes of all its texts together: three members fit into a datagram.
    pub const MAX_TEXT: usize = 240;

    /// Checks its bounds.
    ///
    /// # Errors
    /// [`Invalid`] where the texts are too long together, or nobody could send to its address.
    pub fn validate(&self) -> Result<(), Invalid> {
        let texts = [&self.role, &self.cluster, &self.zone, &self.version];
        let bytes = self.id.as_str().len() + texts.iter().map(|text| text.len()).sum::<usize>();
        if bytes > Self::MAX_TEXT {
            let problem = format!("has {bytes} bytes of text; at most {} are gossiped", Self::MAX_TEXT);
            return Err(Invalid::new("member", problem));
        }
        if texts.iter().any(|text| text.chars().any(char::is_control)) {
            return Err(Invalid::new("member", "has a control character"));
        }
        if self.address.port() == 0 || self.address.ip().is_unspecified() {
            return Err(Invalid::new("address", format!("is {}, where nobody can be reached", self.address)));
        }
        Ok(())
    }

    /// Somebody of whom only the name is known yet.
    pub(crate) fn named(id: PeerId, address: SocketAddr) -> Self {
        Self {
            id,
            generation: 0,
            edition: 0,
            address,
            role: String::new(),
            cluster: String::new(),
            zone: String::new(),
            version: String::new(),
            said: 0,
            health: Health::Ready,
            map_version: 0,
        }
    }
}

/// A member as foca knows it: two of these are the same where id, generation and edition are. It is compared and cloned far more often than it is made.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) member: Arc<Member>,
    /// Of its id: most comparisons are of different members, and end here.
    hash: u64,
}

impl Word {
    pub(crate) fn new(member: Member) -> Self {
        let mut hasher = DefaultHasher::new();
        member.id.as_str().hash(&mut hasher);
        Self { hash: hasher.finish(), member: Arc::new(member) }
    }

    fn key(&self) -> (u64, u32, u64, &PeerId) {
        (self.hash, self.member.edition, self.member.generation, &self.member.id)
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Word {}

/// Whom a word is of.
#[derive(Clone, Debug)]
pub(crate) struct Speaker(Word);

impl PartialEq for Speaker {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash && self.0.member.id == other.0.member.id
    }
}

impl foca::Identity for Word {
    type Addr = Speaker;

    /// Who was taken for dead while it lived is there again as a later edition of the same process.
    fn renew(&self) -> Option<Self> {
        let edition = self.member.edition.wrapping_add(1);
        Some(Self::new(Member { edition, ..Member::clone(&self.member) }))
    }

    fn addr(&self) -> Speaker {
        Speaker(self.clone())
    }

    /// The later process of a name counts, and its latest edition.
    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        let age = |word: &Self| (word.member.generation, word.member.edition);
        age(self) > age(adversary)
    }
}
