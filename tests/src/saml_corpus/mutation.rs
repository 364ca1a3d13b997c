//! Random changes of documents, the same for the same seed.

/// Pieces of text that mean something to a parser.
const PIECES: &[&str] = &[
    "<!--",
    "-->",
    "<!---->",
    "<?x?>",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE x>",
    "&#0;",
    "&#97;",
    "&lt;",
    "&e;",
    "\0",
    "\r\n",
    " ",
    "<x/>",
    "<saml:Assertion ID=\"_x\">",
    "</saml:Assertion>",
    "<ds:Signature>",
    "</ds:Signature>",
    " ID=\"_assertion-1\"",
    " xml:id=\"_x\"",
    " xmlns:saml=\"urn:x\"",
    " xmlns=\"\"",
    "xmlns:x=\"y\"",
    "admin@example.org",
    "\u{feff}",
    "\u{202e}",
    "==",
    "#",
    "http://127.0.0.1:1/",
];

/// Draws mutations. Not for anything secret.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// One that draws the same for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A changed copy of `original`; pieces of `other` may be put in.
    #[must_use]
    pub fn mutate(&mut self, original: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(3) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    /// A number below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let until = (at + self.length()).min(bytes.len());
        match self.below(8) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.next().to_le_bytes()[0];
                }
            }
            2 => drop(bytes.drain(at..until)),
            3 => {
                let piece = bytes.get(at..until).unwrap_or_default().to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            4 | 5 => {
                let piece = PIECES.get(self.below(PIECES.len())).copied().unwrap_or_default();
                bytes.splice(at..at, piece.bytes());
            }
            6 => {
                let from = self.below(other.len());
                let end = (from + self.length()).min(other.len());
                let piece = other.get(from..end).unwrap_or_default().to_vec();
                bytes.splice(at..until, piece);
            }
            _ => {
                // Two characters that stand side by side change places.
                if at + 1 < bytes.len() {
                    bytes.swap(at, at + 1);
                }
            }
        }
    }

    /// Mostly short, now and then long.
    fn length(&mut self) -> usize {
        let limit = [2, 8, 40, 400][self.below(4)];
        1 + self.below(limit)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_changes_something() {
        let document = b"<a b=\"c\">some text</a>".repeat(20);
        let draw = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..200).map(|_| mutator.mutate(&document, b"<other/>")).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let changed = draw(7).iter().filter(|it| **it != document).count();
        assert!(changed > 190, "{changed}");
        assert!(Mutator::new(1).mutate(b"", b"").len() < 1000);
    }
}
