//! What was made last, shared by threads: while a thing is held, it is made once.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Things by their keys, of a bounded weight; the ones that were used last stay.
pub(super) struct Held<K, V> {
    /// Most weight of all.
    most: usize,
    state: Mutex<State<K, V>>,
    /// How many things were made.
    #[cfg(test)]
    pub(super) made: std::sync::atomic::AtomicUsize,
}

struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by their last use.
    used: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
}

struct Entry<V> {
    slot: Slot<V>,
    weight: usize,
    used: u64,
}

/// Locked while its thing is made, so that others wait for that thing alone.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<K: Clone + Eq + Hash, V> Held<K, V> {
    pub(super) fn new(most: usize) -> Self {
        let state = State { entries: HashMap::new(), used: BTreeMap::new(), uses: 0, weight: 0 };
        Self {
            most,
            state: Mutex::new(state),
            #[cfg(test)]
            made: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// The thing of this key, made if it is not held. What weighs more than all may is not kept.
    ///
    /// # Errors
    /// What making it causes.
    pub(super) fn get<E>(
        &self,
        key: &K,
        weight: impl Fn(&V) -> usize,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let slot = locked(&self.state).slot(key);
        let mut held = locked(&slot);
        if let Some(thing) = &*held {
            return Ok(Arc::clone(thing));
        }
        let made = make();
        #[cfg(test)]
        self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let thing = made.map(Arc::new).inspect_err(|_| locked(&self.state).forget(key))?;
        *held = Some(Arc::clone(&thing));
        drop(held);
        locked(&self.state).weigh(key, weight(&thing), self.most);
        Ok(thing)
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    /// The place of a thing, which is now the last one that was used.
    fn slot(&mut self, key: &K) -> Slot<V> {
        self.uses += 1;
        let fresh = || Entry { slot: Slot::default(), weight: 0, used: 0 };
        let entry = self.entries.entry(key.clone()).or_insert_with(fresh);
        self.used.remove(&entry.used);
        entry.used = self.uses;
        self.used.insert(self.uses, key.clone());
        Arc::clone(&entry.slot)
    }

    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.used.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }

    /// Notes the weight of a thing, and drops the oldest ones beyond the bound.
    fn weigh(&mut self, key: &K, weight: usize, most: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        self.weight = self.weight - entry.weight + weight;
        entry.weight = weight;
        if weight > most {
            return self.forget(key);
        }
        while self.weight > most {
            let Some((_, oldest)) = self.used.pop_first() else { return };
            self.forget(&oldest);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, V> Debug for Held<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn get(held: &Held<usize, usize>, key: usize, weight: usize) -> usize {
        let got: Result<_, String> = held.get(&key, |_| weight, || Ok(10 * key));
        *got.unwrap()
    }

    #[test]
    fn the_things_that_were_used_last_are_held_within_the_bound() {
        let held = Held::new(3);
        [1, 2, 3, 1].into_iter().for_each(|key| assert_eq!(get(&held, key, 1), 10 * key));
        assert_eq!(held.made.load(Ordering::Relaxed), 3);
        // The second one was used longest ago.
        let _ = [4, 1, 3].map(|key| get(&held, key, 1));
        assert_eq!(held.made.load(Ordering::Relaxed), 4);
        get(&held, 2, 1);
        assert_eq!(held.made.load(Ordering::Relaxed), 5);
        // What weighs more than all may drops nothing.
        let _ = [9, 9, 2].map(|key| get(&held, key, 4));
        assert_eq!(held.made.load(Ordering::Relaxed), 7);
        assert_eq!(locked(&held.state).weight, 3);
    }

    #[test]
    fn what_could_not_be_made_is_made_again() {
        let held: Held<usize, usize> = Held::new(3);
        assert_eq!(held.get(&1, |_| 1, || Err("gone")), Err("gone"));
        assert!(locked(&held.state).entries.is_empty());
        assert_eq!(get(&held, 1, 1), 10);
    }

    #[test]
    fn threads_that_want_one_thing_make_it_once() {
        let held = Held::new(100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|key| assert_eq!(get(&held, key, 1), 10 * key)));
            }
        });
        assert_eq!(held.made.load(Ordering::Relaxed), 50);
    }
}
