//! What must pass before a change lands.

pub(crate) mod coverage;
mod examples;
pub(crate) mod gate;
mod programs;
pub(crate) mod test;
