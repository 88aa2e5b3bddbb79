//! Work that one thread hands over to another, and goes on with the next meanwhile.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, scope};

use polyptych_data::Error as DataError;

use crate::Result;

/// Where items are handed over.
pub(super) struct Handover<T>(SyncSender<T>);

impl<T> Handover<T> {
    /// Waits until the other side takes `item`; whether it does. It has ended with an error if not.
    pub(super) fn give(&self, item: T) -> bool {
        self.0.send(item).is_ok()
    }
}

/// Runs `make` on this thread and `take` on one of its own, in the order of items.
///
/// No queue stands between them: while `take` is at an item, `make` is at the next, and no third
/// one is begun. The result is as if each item were taken as soon as it is handed over: an error
/// of `take` is earlier than what `make` meets behind that item.
///
/// # Errors
/// The earliest of `take` and `make`; a thread that cannot start.
pub(super) fn overlapped<T: Send>(
    make: impl FnOnce(&Handover<T>) -> Result<()>,
    mut take: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    let (sender, receiver) = sync_channel(0);
    scope(|scope| {
        let taker = Builder::new().name("metrics".to_owned());
        let taker = taker.spawn_scoped(scope, move || receiver.iter().try_for_each(&mut take));
        let taker = taker.map_err(|e| DataError::Threads { reason: e.to_string() })?;
        let handover = Handover(sender);
        let made = make(&handover);
        // The other thread ends behind the last item.
        drop(handover);
        let taken = taker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        taken.and(made)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;
    use crate::Error;

    fn failure(what: &str) -> Error {
        DataError::Threads { reason: what.into() }.into()
    }

    /// Gives items up to 100, and notes in `begun` the last one that was begun; one at `fails` cannot
    /// be made.
    fn some(handover: &Handover<usize>, fails: Option<usize>, begun: &AtomicUsize) -> Result<()> {
        for item in 0..100 {
            begun.store(item, Ordering::SeqCst);
            if fails == Some(item) {
                return Err(failure(&format!("make {item}")));
            }
            if !handover.give(item) {
                break;
            }
        }
        Ok(())
    }

    #[test]
    fn all_items_are_taken_in_order() {
        let (mut taken, begun) = (Vec::new(), AtomicUsize::new(0));
        let take = |item| {
            taken.push(item);
            Ok(())
        };
        overlapped(|to| some(to, None, &begun), take).unwrap();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_earliest_error_counts_and_ends_both_sides() {
        let run = |make: Option<usize>, take: Option<usize>| {
            let begun = AtomicUsize::new(0);
            let fails = |item: usize| match take == Some(item) {
                true => Err(failure(&format!("take {item}"))),
                false => Ok(()),
            };
            let found = overlapped(|to| some(to, make, &begun), fails);
            (found.unwrap_err().to_string(), begun.into_inner())
        };
        let (message, begun) = run(None, Some(3));
        assert!(message.contains("take 3"), "{message}");
        assert_eq!(begun, 4);
        assert!(run(Some(3), None).0.contains("make 3"));
        // What is taken late was made early.
        assert!(run(Some(4), Some(3)).0.contains("take 3"));
        assert!(run(Some(3), Some(4)).0.contains("make 3"));
    }

    #[test]
    fn the_next_item_is_made_while_one_is_taken() {
        let (sender, receiver) = channel();
        let make = |to: &Handover<usize>| {
            assert!(to.give(0));
            // The first one cannot be done before this.
            sender.send(()).unwrap();
            assert!(to.give(1));
            Ok(())
        };
        let take = move |item: usize| {
            if item == 0 {
                receiver.recv().unwrap();
            }
            Ok(())
        };
        overlapped(make, take).unwrap();
    }

    #[test]
    fn no_more_than_two_items_live_at_once() {
        struct Item<'a>(&'a AtomicUsize);
        impl Drop for Item<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let slow = |item| {
            std::thread::yield_now();
            drop(item);
            Ok(())
        };
        let made = overlapped(
            |to| {
                for _ in 0..20 {
                    most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    assert!(to.give(Item(&alive)));
                }
                Ok(())
            },
            slow,
        );
        made.unwrap();
        assert!(most.into_inner() <= 2);
        assert_eq!(alive.into_inner(), 0);
    }
}
