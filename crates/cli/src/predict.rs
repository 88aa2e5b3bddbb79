//! `polyptych predict`: one picture per photograph, raw maps on request, and a table of what is said
//! of whole images.

mod depth_range;
mod download;
mod files;
mod flags;
mod inputs;
mod place;
mod table;
mod truth;
mod video;

use std::process::ExitCode;

use anyhow::Result;

use crate::command::Subcommand;

pub(crate) use flags::Predict;

impl Subcommand for Predict {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.truth { truth::run(flags) } else { files::run(flags) }
    }
}
