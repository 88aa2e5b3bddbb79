//! The grammar of the worker.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use polyptych_benches::{Ceiling, Method, Subject};
use polyptych_tensor::{Precision, device};

use crate::case::Case;
use crate::inference::{self, Inference};
use crate::loading::Loading;
use crate::rate::Rate;
use crate::sources::Source;
use crate::training::Training;

/// Rows, inputs and outputs of the product: as large as a product in a transformer is.
const SIDE: i64 = 2048;

/// What is timed, and how large it is.
#[derive(Parser)]
pub(crate) struct Options {
    /// What is timed
    pub(crate) case: Name,
    /// Folder that both sides share
    pub(crate) folder: PathBuf,
    /// Backbone of a forward pass, by timm's name
    #[arg(long)]
    pub(crate) backbone: Option<String>,
    /// Tasks
    #[arg(long, default_value_t = 4)]
    pub(crate) tasks: usize,
    /// Images of a batch
    #[arg(long, default_value_t = 4)]
    pub(crate) batch: i64,
    /// Height and width of an image
    #[arg(long, default_value_t = 224)]
    pub(crate) size: i64,
    /// Type of activations
    #[arg(long, value_enum, default_value_t = Type::Fp32)]
    pub(crate) precision: Type,
    /// Where numbers live: cpu, cuda:N
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Leave dropout and stochastic depth out
    #[arg(long)]
    pub(crate) certain: bool,
    /// Run blocks once more in the backward pass instead of keeping what they need
    #[arg(long)]
    pub(crate) grad_checkpointing: bool,
    /// Threads of LibTorch
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: i32,
    /// Only merge the model of a forward pass, into the folder
    #[arg(long)]
    pub(crate) merge: bool,
    /// Write the model of a forward pass as ONNX too
    #[arg(long)]
    pub(crate) onnx: bool,
    /// Be compared as a peer of ours is
    #[arg(long)]
    pub(crate) peer: bool,
    /// Run rounds without pause until the program is ended
    #[arg(long)]
    pub(crate) endless: bool,
}

/// Names of the cases.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Training step of MTLoRA on Swin-T
    Mtlora,
    /// The same with a decoder that all tasks share
    MtloraShared,
    /// Training step of EMTAL on ViT-B/16
    Emtal,
    /// Training step of LoRA on ViT-B/16
    Lora,
    /// Training step of full fine-tuning on ViT-B/16
    Full,
    /// Training step of VMT-Adapter on Swin-T
    Vmt,
    /// The same with a decoder that all tasks share
    VmtShared,
    /// Forward pass of a merged backbone
    Forward,
    /// Photographs and dense labels, decoded, augmented and stacked
    Loader,
    /// The same from tar shards
    LoaderWebdataset,
    /// The same from tables of Parquet
    LoaderParquet,
    /// The same from tables of Arrow
    LoaderArrow,
    /// A product of two square matrices
    Product,
    /// A copy of an array that no cache holds
    Copy,
}

/// Names of the types.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Type {
    /// float32
    Fp32,
    /// bfloat16
    Bf16,
    /// bfloat16 with linear maps of int8
    Int8,
}

impl Type {
    fn precision(self) -> Precision {
        match self {
            Type::Fp32 => Precision::Fp32,
            Type::Bf16 | Type::Int8 => Precision::Bf16,
        }
    }
}

impl Options {
    /// What `method` is measured as.
    fn subject(&self, method: Method) -> Result<Subject> {
        let Self { tasks, batch, size, certain, grad_checkpointing, .. } = *self;
        let (precision, device) = (self.precision.precision(), device::resolve(&self.device)?);
        let shared_decoder = matches!(self.case, Name::MtloraShared | Name::VmtShared);
        Ok(Subject {
            method,
            tasks,
            batch,
            size,
            device,
            precision,
            shared_decoder,
            certain,
            grad_checkpointing,
        })
    }

    /// Merges the model whose forward pass is timed.
    pub(crate) fn merge(&self) -> Result<()> {
        if self.case != Name::Forward {
            bail!("--merge: expected forward");
        }
        let subject = self.subject(self.method()?)?;
        inference::merge(&subject, &self.folder)?;
        if self.onnx { inference::onnx(&subject, self.int8(), &self.folder) } else { Ok(()) }
    }

    fn int8(&self) -> bool {
        self.precision == Type::Int8
    }

    /// What a forward pass is of. The process has one name, which lives as long as it does.
    fn method(&self) -> Result<Method> {
        let backbone = self.backbone.clone().context("forward: expected --backbone")?;
        Ok(Method::LoraOn(backbone.leak()))
    }

    /// Builds the case; training leaves its first values and its batch in the folder.
    pub(crate) fn prepare(&self) -> Result<Box<dyn Case>> {
        let folder = &self.folder;
        Ok(match self.case {
            Name::Loader => Box::new(Loading::new(self, Source::Files)?),
            Name::LoaderWebdataset => Box::new(Loading::new(self, Source::WebDataset)?),
            Name::LoaderParquet => Box::new(Loading::new(self, Source::Parquet)?),
            Name::LoaderArrow => Box::new(Loading::new(self, Source::Arrow)?),
            Name::Forward => {
                let subject = self.subject(self.method()?)?;
                Box::new(Inference::new(subject, self.int8(), folder)?)
            }
            Name::Product => {
                let kind = self.precision.precision().kind();
                Box::new(Rate::of_operations(Ceiling::product(SIDE, kind)))
            }
            Name::Copy => Box::new(Rate::of_bytes(Ceiling::copy())),
            _ if self.int8() => bail!("--precision int8: expected forward"),
            Name::Mtlora | Name::MtloraShared => {
                Box::new(Training::new(self.subject(Method::MtLora)?, folder)?)
            }
            Name::Emtal => Box::new(Training::new(self.subject(Method::Emtal)?, folder)?),
            Name::Lora => Box::new(Training::new(self.subject(Method::Lora)?, folder)?),
            Name::Full => Box::new(Training::new(self.subject(Method::Full)?, folder)?),
            Name::Vmt | Name::VmtShared => {
                Box::new(Training::new(self.subject(Method::Vmt)?, folder)?)
            }
        })
    }
}
