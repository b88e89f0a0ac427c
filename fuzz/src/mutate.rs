//! New inputs out of known ones, from a seed.

/// Makes inputs; the same seed makes the same ones.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

/// The longest input, in bytes.
const MAX: usize = 4096;

impl Mutator {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // A generator that starts at nought stays there.
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// A number below `below`, which is at least 1; by xorshift.
    fn below(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let below = u64::try_from(below.max(1)).unwrap_or(u64::MAX);
        usize::try_from((self.state >> 11) % below).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// One input: one of the corpus, changed in up to eight places.
    pub fn next(&mut self, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.pick(corpus).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.change(&mut input, corpus, words);
        }
        input.truncate(MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
        const EDGES: [u8; 12] = [0, 1, b'0', b'9', b'-', b'%', b'.', b'"', b'\n', 0x7f, 0x80, 0xff];
        let at = self.below(input.len() + 1);
        match self.below(8) {
            0 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => {
                let edge = self.pick(&EDGES).copied().unwrap_or_default();
                match input.get_mut(at) {
                    Some(byte) => *byte = edge,
                    None => input.push(edge),
                }
            }
            2 => {
                let end = at + self.below(input.len() - at + 1);
                input.drain(at..end);
            }
            3 => {
                let end = at + self.below((input.len() - at + 1).min(64));
                let copy = input.get(at..end).unwrap_or_default().to_vec();
                insert(input, at, &copy);
            }
            4 | 5 => {
                let word = self.pick(words).copied().unwrap_or_default();
                insert(input, at, word.as_bytes());
            }
            6 => {
                let other = self.pick(corpus).cloned().unwrap_or_default();
                input.truncate(at);
                input.extend_from_slice(other.get(self.below(other.len() + 1)..).unwrap_or_default());
            }
            _ => {
                let digits = (0..self.below(22)).map(|_| b'0' + u8::try_from(self.below(10)).unwrap_or(0));
                let digits: Vec<u8> = digits.collect();
                insert(input, at, &digits);
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}
