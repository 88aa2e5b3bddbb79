//! An adapter folder that is written.

use std::collections::HashMap;
use std::path::Path;

use polyptych_formats::file;
use polyptych_tensor::Tensors;

use super::adapter::{CONFIG, MODEL};
use super::factors::PeftFactors;
use super::names::PREFIX;
use crate::error::{Error, Result};

/// Writes `adapter` into `dir`, beside its factors the tensors of `modules_to_save` among `whole`,
/// names within the backbone.
///
/// `target_modules` are the names of all modules that have factors: an end such as `proj` would be
/// that of other layers too once PEFT looks for it.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_peft(
    dir: &Path,
    adapter: &PeftFactors,
    whole: &Tensors,
    modules_to_save: &[&str],
) -> Result<()> {
    let is_whole = |name: &str| {
        let below =
            |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
        modules_to_save.iter().any(below)
    };
    let whole = whole.iter().filter(|(name, _)| is_whole(name));
    let tensors = adapter.factors.iter().chain(whole);
    let tensors =
        tensors.map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.contiguous())).collect();
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    file::save(&dir.join(MODEL), &tensors, metadata)?;
    let text = format!("{:#}\n", adapter.config_json(modules_to_save));
    Ok(file::write_aside(&dir.join(CONFIG), text.as_bytes())?)
}
