//! TorchScript: a forward pass as a file that Python and C++ load without this crate.
//!
//! LibTorch's tracer writes down the operations of one call, with every size as a number and a
//! single output. Two traces, of batches of 2 and of 3 images, differ in just the numbers that
//! depend on the batch: these become expressions of it, and the output a dictionary by name.
//!
//! What is traced must compute from its input and from tensors that existed before: the tracer
//! does not see numbers that come from Rust. [`Script::open`] and a comparison show it.

mod archive;
mod batch;
mod code;
mod config;
mod outputs;
mod trace;

use std::path::{Path, PathBuf};

use tch::{CModule, IValue, Tensor};

pub(crate) use code::{Code, Expression, Extent};
pub use config::ScriptConfig;
pub use trace::Traced;

use crate::{Error, Result};

/// A TorchScript file with one input and outputs by name.
#[derive(Debug)]
pub struct Script {
    module: CModule,
    path: PathBuf,
}

impl Script {
    /// Writes the file that `traced` is for. It holds
    /// `forward(image: Tensor) -> Dict[str, Tensor]`; its tensors are constants.
    ///
    /// # Errors
    /// A file that cannot be written; nothing is left there then.
    pub fn save(traced: &Traced) -> Result<()> {
        archive::replace_code(traced.file(), traced.path, &traced.code, traced.config.extra)
    }

    /// Loads the file at `path` onto the CPU.
    ///
    /// # Errors
    /// A file that is none.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { module: CModule::load(path)?, path: path.into() })
    }

    /// The outputs by name.
    ///
    /// # Errors
    /// An input of another shape, or outputs that have no names.
    pub fn forward(&self, image: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let image = IValue::Tensor(image.shallow_clone());
        let wrong = || {
            let reason = "expected a dictionary of tensors by name, found another output".into();
            Error::Script { path: self.path.clone(), reason }
        };
        match self.module.forward_is(&[image])? {
            IValue::GenericDict(entries) => entries
                .into_iter()
                .map(|entry| match entry {
                    (IValue::String(name), IValue::Tensor(tensor)) => Ok((name, tensor)),
                    _ => Err(wrong()),
                })
                .collect(),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn config(outputs: &[String]) -> ScriptConfig<'_> {
        ScriptConfig { image: [3, 4, 6], outputs, extra: "{}" }
    }

    #[test]
    fn any_batch_comes_back_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        let _drawing = crate::testing::alone();
        let weight = Tensor::randn([5, 3], (Kind::Float, Device::Cpu));
        let forward = |image: &Tensor| -> Result<Vec<Tensor>> {
            let batch = image.size()[0];
            let tokens = image.flatten(2, 3).transpose(1, 2).reshape([batch * 24, 3]);
            let mapped = tokens.matmul(&weight.transpose(0, 1)).reshape([batch, 24, 5]);
            Ok(vec![mapped.mean_dim(1, false, Kind::Float), mapped.unflatten(1, [4i64, 6])])
        };
        let names = ["sal".to_owned(), "edge".to_owned()];
        Script::save(&Traced::new(&path, &config(&names), forward).unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let script = Script::open(&path).unwrap();
        for batch in [1, 4] {
            let image = Tensor::randn([batch, 3, 4, 6], (Kind::Float, Device::Cpu));
            let found = script.forward(&image).unwrap();
            for ((name, found), (wanted, expected)) in
                found.iter().zip(names.iter().zip(forward(&image).unwrap()))
            {
                assert_eq!((name, found.size()), (wanted, expected.size()));
                assert!(found.allclose(&expected, 1e-5, 1e-5, false));
            }
        }
    }

    #[test]
    fn what_the_function_refuses_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        let names = ["sal".to_owned()];
        for refused_call in [1, 2] {
            let mut calls = 0;
            let refuse = |image: &Tensor| match calls == refused_call - 1 {
                true => Err(Error::Type { key: "gone".into(), found: "none".into() }),
                false => {
                    calls += 1;
                    Ok(vec![image.shallow_clone() * 2.0])
                }
            };
            let config = config(&names);
            let message = Traced::new(&path, &config, refuse).err().unwrap().to_string();
            assert!(message.starts_with("gone: "), "{message}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(&path, "text").unwrap();
        assert!(Script::open(&path).is_err());
    }
}
