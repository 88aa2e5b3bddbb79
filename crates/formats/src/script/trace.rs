//! A function as operations on any batch, and the tensors that they read.

use std::path::{Path, PathBuf};

use tch::{CModule, Device, Kind, Tensor};

use super::config::ScriptConfig;
use super::{archive, batch, outputs};
use crate::{Error, Result, pth};

/// A traced function, for [`Script::save`](crate::Script::save) and
/// [`Onnx::save`](crate::Onnx::save); what lies beside the file that it is for goes when this is
/// dropped.
pub struct Traced<'a> {
    /// The file that it is for.
    pub(crate) path: &'a Path,
    pub(crate) config: &'a ScriptConfig<'a>,
    two: Aside,
    /// `forward(image: Tensor) -> Dict[str, Tensor]` as TorchScript's code.
    pub(crate) code: String,
    /// Shape of every output, behind the batch.
    pub(crate) shapes: Vec<Vec<i64>>,
}

impl<'a> Traced<'a> {
    /// Traces `forward` on the CPU, for the file at `path`: from images
    /// `[batch, channels, height, width]` to the outputs that `config` names, for any batch.
    ///
    /// # Errors
    /// Whatever `forward` refuses; operations that depend on the batch in another way than by
    /// sizes.
    pub fn new<E: From<Error>>(
        path: &'a Path,
        config: &'a ScriptConfig<'a>,
        mut forward: impl FnMut(&Tensor) -> Result<Vec<Tensor>, E>,
    ) -> Result<Self, E> {
        let [two, three] = [2, 3].map(|batch| Aside::new(path, batch));
        let shapes = two.trace(config, &mut forward)?;
        let _ = three.trace(config, &mut forward)?;
        let wrong = |reason: String| Error::Script { path: path.into(), reason };
        let [code, other] = [archive::code(&two.path)?, archive::code(&three.path)?];
        let free = batch::free(&code, &other).map_err(wrong)?;
        let code = outputs::named(&free, config.outputs).map_err(wrong)?;
        Ok(Self { path, config, two, code, shapes })
    }

    /// A TorchScript file of the function for two images.
    pub(super) fn file(&self) -> &Path {
        &self.two.path
    }

    /// The tensors that the code calls `CONSTANTS.c0`, `CONSTANTS.c1` and so on.
    pub(crate) fn constants(&self) -> Result<Vec<Tensor>> {
        pth::constants(&self.two.path)
    }
}

/// A trace beside the file that it is for; it goes when it is dropped.
struct Aside {
    path: PathBuf,
    batch: i64,
}

impl Aside {
    fn new(path: &Path, batch: i64) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{batch}.part"));
        Self { path: name.into(), batch }
    }

    /// Writes the trace and gives the shapes of the outputs behind the batch.
    fn trace<E: From<Error>>(
        &self,
        config: &ScriptConfig,
        forward: &mut impl FnMut(&Tensor) -> Result<Vec<Tensor>, E>,
    ) -> Result<Vec<Vec<i64>>, E> {
        let [channels, height, width] = config.image;
        let size = [self.batch, channels, height, width];
        let image = Tensor::zeros(size, (Kind::Float, Device::Cpu));
        // What a model remembers from its first call is not to be traced.
        let outputs = tch::no_grad(|| forward(&image))?;
        let mut refused = None;
        let mut run = |inputs: &[Tensor]| {
            let outputs = tch::no_grad(|| forward(&inputs[0]));
            outputs.map_or_else(
                |e| {
                    refused = Some(e);
                    vec![inputs[0].shallow_clone()]
                },
                |outputs| vec![outputs::joined(&outputs)],
            )
        };
        let traced = CModule::create_by_tracing("Polyptych", "forward", &[image], &mut run);
        if let Some(e) = refused {
            return Err(e);
        }
        traced.and_then(|module| module.save(&self.path)).map_err(Error::from)?;
        let behind = |output: &Tensor| output.size().into_iter().skip(1).collect();
        Ok(outputs.iter().map(behind).collect())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A trace that is not there any more, or never was, is what is wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}
