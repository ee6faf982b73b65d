//! Which connections of this shard belong to which user.

use std::collections::HashMap;

use super::ConnKey;

/// The shard's users.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<Box<str>, Keys>);

/// Most users have one connection: that takes no allocation of its own.
#[derive(Debug)]
enum Keys {
    One(ConnKey),
    Many(Vec<ConnKey>),
}

impl Users {
    /// Adds a connection.
    pub(super) fn insert(&mut self, user: &str, key: ConnKey) {
        match self.0.get_mut(user) {
            None => {
                self.0.insert(user.into(), Keys::One(key));
            }
            Some(Keys::Many(keys)) => keys.push(key),
            Some(one @ Keys::One(_)) => {
                let Keys::One(first) = *one else { return };
                *one = Keys::Many(vec![first, key]);
            }
        }
    }

    /// Removes a connection; without any the user is gone.
    pub(super) fn remove(&mut self, user: &str, key: ConnKey) {
        let left = match self.0.get_mut(user) {
            None => return,
            Some(Keys::One(one)) => usize::from(*one != key),
            Some(Keys::Many(keys)) => {
                keys.retain(|other| *other != key);
                keys.len()
            }
        };
        if left == 0 {
            self.0.remove(user);
        }
    }

    /// A user's connections.
    #[must_use]
    pub(super) fn of(&self, user: &str) -> Vec<ConnKey> {
        match self.0.get(user) {
            None => Vec::new(),
            Some(Keys::One(key)) => vec![*key],
            Some(Keys::Many(keys)) => keys.clone(),
        }
    }

    /// The number of users.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Every user.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> ConnKey {
        ConnKey {
            index,
            generation: 0,
        }
    }

    #[test]
    fn a_user_lasts_as_long_as_its_last_connection() {
        let mut users = Users::default();
        for index in 0..3 {
            users.insert("42", key(index));
        }
        users.insert("", key(9));
        users.remove("42", key(1));
        users.remove("42", key(7));
        assert_eq!(users.of("42"), [key(0), key(2)]);
        assert_eq!(users.count(), 2);
        users.remove("42", key(0));
        users.remove("42", key(2));
        users.remove("", key(9));
        assert_eq!((users.count(), users.of("42")), (0, Vec::new()));
    }
}
