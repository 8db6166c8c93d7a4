//! What is meant for some keys of an object: most keys of an event are none of them, which must be found out at little cost.

/// Entries by key, sorted by length, and of one length by text: keys of other lengths are told apart without a look at the text.
#[derive(Clone, Debug)]
pub(super) struct ByKey<T>(Vec<(Box<str>, T)>);

impl<T> ByKey<T> {
    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        let place = self.place(key).ok()?;
        Some(&self.0[place].1)
    }

    /// The entry of a key, and its place among all.
    pub fn find(&self, key: &str) -> Option<(usize, &T)> {
        let place = self.place(key).ok()?;
        Some((place, &self.0[place].1))
    }

    /// The entry of a key, which is made where there is none.
    pub fn entry(&mut self, key: &str) -> &mut T
    where
        T: Default,
    {
        let place = self.place(key).unwrap_or_else(|place| {
            self.0.insert(place, (key.into(), T::default()));
            place
        });
        &mut self.0[place].1
    }

    /// All entries.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, entry)| entry)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.len().cmp(&key.len()).then_with(|| (**known).cmp(key)))
    }
}

impl<T> Default for ByKey<T> {
    fn default() -> Self {
        ByKey(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_entry() {
        let keys = ["email", "phone", "id", "é", "", "mail", "emails", "ID"];
        let mut by_key = ByKey::default();
        for (place, key) in keys.into_iter().enumerate() {
            assert_eq!(by_key.get(key), None, "{key:?}");
            *by_key.entry(key) = place;
        }
        for (place, key) in keys.into_iter().enumerate() {
            assert_eq!(*by_key.entry(key), place, "{key:?}");
            assert_eq!(by_key.get(key), Some(&place), "{key:?}");
        }
        assert_eq!(by_key.get("Email"), None);
    }
}
