//! What a fresh machine needs, and whether it is there.

pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod ensure;
pub(crate) mod folder;
pub(crate) mod install;
pub(crate) mod libtorch;
pub(crate) mod record;
pub(crate) mod unpack;
