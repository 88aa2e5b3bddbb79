//! Human parts of images with and without people.

use ndarray::Array2;

use crate::Label;
use crate::sample::IGNORE;

/// Images without people carry no label.
pub(super) fn people(classes: Array2<u8>) -> Option<Label> {
    let someone = classes.iter().any(|&class| class != 0 && class != IGNORE);
    someone.then_some(Label::Classes(classes))
}
