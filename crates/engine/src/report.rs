//! What people read of a run: numbers of parameters, times and pictures.

pub(crate) mod contact_sheet;
pub(crate) mod heat_map;
pub(crate) mod panel;
pub(crate) mod parameter_summary;
pub(crate) mod text;
pub(crate) mod timing;
