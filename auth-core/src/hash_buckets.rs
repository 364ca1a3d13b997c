//! Where to look in a list that is sorted by hashes.
//!
//! Hashes are evenly spread, so their first bits say where they stand: one look into a small table
//! leads to a few neighbours, where a binary search of a long list misses the cache at every step.

use std::ops::Range;

/// A hash, or half of one.
type Hash = [u8; 16];

/// How many entries share a place on average.
const NEIGHBOURS: usize = 4;

/// For each beginning of a hash: where those with it begin in the list.
#[derive(Debug)]
pub(crate) struct HashBuckets {
    begins: Vec<usize>,
    shift: u32,
}

impl HashBuckets {
    /// The table of a list that is sorted by these hashes.
    pub(crate) fn of<'a>(sorted: impl ExactSizeIterator<Item = &'a Hash>) -> Self {
        let length = sorted.len();
        let bits = (length / NEIGHBOURS).checked_ilog2().unwrap_or(0);
        let mut table = Self { begins: Vec::with_capacity((1 << bits) + 1), shift: 64 - bits };
        for (at, hash) in sorted.enumerate() {
            let bucket = table.bucket(hash);
            while table.begins.len() <= bucket {
                table.begins.push(at);
            }
        }
        table.begins.resize((1 << bits) + 1, length);
        table
    }

    /// Where those that begin like `hash` stand; whoever has this very hash is among them.
    pub(crate) fn around(&self, hash: &Hash) -> Range<usize> {
        let bucket = self.bucket(hash);
        let begin = self.begins.get(bucket).copied().unwrap_or(0);
        begin..self.begins.get(bucket + 1).copied().unwrap_or(begin)
    }

    fn bucket(&self, hash: &Hash) -> usize {
        let [first, ..] = hash.as_chunks::<8>().0 else { return 0 };
        usize::try_from(u64::from_be_bytes(*first).checked_shr(self.shift).unwrap_or(0))
            .unwrap_or(0)
    }
}

impl Default for HashBuckets {
    /// The table of an empty list.
    fn default() -> Self {
        Self::of([].iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::sha256;

    fn hash(number: u32) -> Hash {
        std::array::from_fn(|at| sha256(&number.to_be_bytes())[at])
    }

    #[test]
    fn everybody_is_found_where_the_table_says() {
        for length in [0, 1, 2, 3, 4, 7, 8, 9, 100, 10_000] {
            let mut sorted: Vec<Hash> = (0..length).map(hash).collect();
            sorted.extend((0..length / 10).map(hash));
            sorted.sort_unstable();
            let table = HashBuckets::of(sorted.iter());
            for number in 0..length {
                let wanted = hash(number);
                let found = sorted[table.around(&wanted)].iter().filter(|it| **it == wanted);
                assert_eq!(found.count(), if number < length / 10 { 2 } else { 1 }, "{length}");
            }
            let near = (length..length + 100).map(|other| table.around(&hash(other)).len());
            assert!(near.max().unwrap() < 40, "too many neighbours of {length}");
        }
    }

    #[test]
    fn hashes_that_begin_alike_are_found_too() {
        let mut same: Vec<Hash> = (0..100u8)
            .map(|last| [[0xff; 15].as_slice(), &[last]].concat().try_into().unwrap())
            .collect();
        same.insert(0, [0; 16]);
        let table = HashBuckets::of(same.iter());
        for one in &same {
            assert!(same[table.around(one)].contains(one));
        }
        assert!(HashBuckets::default().around(&same[3]).is_empty());
    }
}
