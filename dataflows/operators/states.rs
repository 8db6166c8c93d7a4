//! `States`: a state per key, of which there are millions and ever more.
//!
//! Linear hashing (Litwin, 1980): small sorted lists, picked by the hash, and for every so many new keys one of them is split
//! in two. So it grows evenly: no key waits until a million others have moved to a table of twice the size, and there are
//! no empty slots by the million. That is why it is not a `HashMap`, which takes twice the memory; a `BTreeMap`, whose nodes
//! are two thirds full, takes a third more.
//!
//! It is of use to operators only, so its example is the test below.

/// Keys of a list on average.
const MEAN: usize = 16;

/// A state per key.
pub(super) struct States<K, S> {
    /// As many as there are: the list at `n + 2^i` was split off from the one at `n`, for all `n` below `2^i`.
    lists: Vec<Vec<(K, S)>>,
    count: usize,
}

impl<K: Ord + Clone, S: Default> States<K, S> {
    /// There are none yet.
    pub(super) fn new() -> Self {
        States { lists: vec![Vec::new()], count: 0 }
    }

    /// The state of `key`, which is there from now on, and whether it is new. `hash` is a word that tells keys apart well in some of its bits, always
    /// the same.
    pub(super) fn state(&mut self, key: &K, hash: impl Fn(&K) -> u64) -> (&mut S, bool) {
        let spread_of = |key: &K| spread(hash(key));
        let sought = spread_of(key);
        let mut list = self.list_of(sought);
        let found = place_of(&self.lists[list], (sought, key), spread_of);
        let is_new = found.is_err();
        let place = found.unwrap_or_else(|mut place| {
            self.count += 1;
            if self.count > MEAN * self.lists.len() {
                self.split(spread_of);
                list = self.list_of(sought);
                place = place_of(&self.lists[list], (sought, key), spread_of).unwrap_or_else(|place| place);
            }
            let entries = &mut self.lists[list];
            // Allocators have steps, so most of the time the room is there already.
            entries.reserve_exact(1);
            entries.insert(place, (key.clone(), S::default()));
            place
        });
        (&mut self.lists[list][place].1, is_new)
    }

    /// Forgets the state of `key`, if there is one. As many lists stay: keys that go are few.
    pub(super) fn remove(&mut self, key: &K, hash: impl Fn(&K) -> u64) {
        let spread_of = |key: &K| spread(hash(key));
        let sought = spread_of(key);
        let list = self.list_of(sought);
        if let Ok(place) = place_of(&self.lists[list], (sought, key), spread_of) {
            self.lists[list].remove(place);
            self.count -= 1;
        }
    }

    /// The list in which a key with this spread hash is.
    fn list_of(&self, spread: u64) -> usize {
        // The largest power of two that is not above the number of lists.
        let full = 1 << self.lists.len().ilog2();
        // Of the lower half of the bits: the upper one is for the order in the list.
        let place = (spread as u32) as usize & (2 * full - 1);
        if place < self.lists.len() { place } else { place - full }
    }

    /// Splits the list whose turn it is.
    fn split(&mut self, spread_of: impl Fn(&K) -> u64) {
        let full = 1 << self.lists.len().ilog2();
        let source = self.lists.len() - full;
        let entries = std::mem::take(&mut self.lists[source]);
        let (mut goes, mut stays): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| spread_of(key) & full as u64 != 0);
        goes.shrink_to_fit();
        stays.shrink_to_fit();
        self.lists[source] = stays;
        self.lists.push(goes);
    }
}

/// Where the key is in its list, or would be: lists are sorted by the spread hash, then by key.
///
/// Spread hashes are even, so the place is guessed, and the right one is a step or two away. Halving the list would touch
/// memory in more places, which is what a look-up among millions costs.
fn place_of<K: Ord, S>(list: &[(K, S)], sought: (u64, &K), spread_of: impl Fn(&K) -> u64) -> Result<usize, usize> {
    let at = |place: usize| list.get(place).map(|(key, _)| (spread_of(key), key));
    let mut place = ((sought.0 >> 32) as usize * list.len()) >> 32;
    while place > 0 && at(place - 1).is_some_and(|before| before >= sought) {
        place -= 1;
    }
    while at(place).is_some_and(|here| here < sought) {
        place += 1;
    }
    if at(place) == Some(sought) { Ok(place) } else { Err(place) }
}

/// Spreads the bits in which hashes differ over all: those of one worker may have their lowest bits in common.
fn spread(hash: u64) -> u64 {
    let product = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_key_keeps_its_state_while_there_are_ever_more() {
        let mut states: States<u64, u64> = States::new();
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        for round in 1..=3u64 {
            // Keys that have their lowest bits in common, as those of one worker of eight.
            for key in (0..40_000 * round).step_by(8).map(|key| key.wrapping_mul(0x5851_f42d_4c95_7f2d)) {
                *states.state(&key, |key| *key).0 += key % 1_000 + round;
                *expected.entry(key).or_default() += key % 1_000 + round;
            }
        }
        assert_eq!(states.count, expected.len());
        for (key, state) in expected {
            let (found, is_new) = states.state(&key, |key| *key);
            assert_eq!((*found, is_new), (state, false));
        }
        let key = 8u64.wrapping_mul(0x5851_f42d_4c95_7f2d);
        states.remove(&key, |key| *key);
        states.remove(&key, |key| *key);
        assert_eq!(states.count, 39_999 / 8 * 3 + 2, "one has gone");
        assert_eq!(states.state(&key, |key| *key), (&mut 0, true));
        let lengths = || states.lists.iter().map(Vec::len);
        assert_eq!(lengths().sum::<usize>(), states.count, "looking a key up brings none");
        assert!(lengths().max() < Some(4 * MEAN), "lists stay short");
        let room: usize = states.lists.iter().map(Vec::capacity).sum();
        assert!(room * 20 < states.count * 21, "room for {room} is much more than for {}", states.count);
    }
}
