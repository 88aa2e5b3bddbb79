//! The training step as a whole, and what follows its gradients.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use polyptych_benches::{Step, Subject};

use crate::piece::{Piece, Role};
use crate::work::Work;

/// Forward and backward pass, then clipping and AdamW as a group of their own; both together are
/// the step.
pub(crate) fn step(subject: &Subject) -> Result<[Piece; 2]> {
    let step = Step::new(subject)?;
    step.model.store_frozen();
    let numbers = step.trainable().iter().map(|(_, tensor)| tensor.numel() as i64).sum::<i64>();
    let calls = step.trainable().len() as i64;
    let shared = Rc::new(RefCell::new(step));
    let own = Rc::clone(&shared);
    let passes = Piece::new(
        (Role::Step, "forward and backward passes".into()),
        (1, Work::default()),
        move || own.borrow().backward().map(drop),
    );
    // The norm reads gradients, clipping reads and writes them, AdamW reads four and writes three.
    let work = Work::new(17 * numbers, 10 * numbers, 4);
    let learn = Piece::new((Role::Group, "clipping and AdamW".into()), (calls, work), move || {
        shared.borrow_mut().learn()
    });
    Ok([passes, learn])
}
