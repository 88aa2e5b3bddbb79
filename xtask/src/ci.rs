//! What must pass before a change lands.

pub(crate) mod coverage;
pub(crate) mod gate;
pub(crate) mod test;
