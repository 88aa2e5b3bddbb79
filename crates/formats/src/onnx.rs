//! ONNX: a forward pass as a file that other runtimes load.
//!
//! The operations of a trace, which [`Script`](crate::Script) writes too, become operators of
//! ONNX's edition 20 one by one; its numbers become the file's initialisers. Extents that follow
//! from the batch are left to the runtime, so one file takes any batch.
//!
//! [`Onnx::open`] reads a file back and [`Onnx::forward`] runs its operators by LibTorch, as ONNX
//! defines them: a check of what was written, and no runtime for the files of others.

mod convert;
mod evaluate;
mod graph;
mod operations;
mod proto;
mod value;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use prost::Message;
use tch::Tensor;

use crate::script::{Code, Traced};
use crate::{Error, Result, file};
use graph::INPUT;
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The first edition of the operators with GELU, and the format that came with it.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;
/// What a message of this format may have at most.
const MAX_BYTES: usize = i32::MAX as usize;

/// An ONNX file with one input and outputs by name.
#[derive(Debug)]
pub struct Onnx {
    graph: GraphProto,
    opset: i64,
    path: PathBuf,
}

impl Onnx {
    /// Writes the file that `traced` is for: the input `image` of
    /// `[batch, channels, height, width]`, an output by each name, and the text of
    /// [`ScriptConfig::extra`](crate::ScriptConfig::extra) as metadata `polyptych`.
    ///
    /// # Errors
    /// An operation without a counterpart, which is named; more than 2 GiB; a file that cannot be
    /// written. Nothing is left there then.
    pub fn save(traced: &Traced) -> Result<()> {
        let Traced { path, config, .. } = *traced;
        let constants = traced.constants()?;
        let graph = Code::parse(&traced.code)
            .and_then(|code| convert::of_code(&code, &constants, &config.image, &traced.shapes));
        let wrong = |reason: String| Error::Onnx { path: path.into(), reason };
        let model = model(graph.map_err(wrong)?, config.extra);
        let bytes = model.encoded_len();
        if bytes > MAX_BYTES {
            let reason = format!("{bytes} bytes; expected at most {MAX_BYTES} in one file");
            return Err(wrong(reason));
        }
        file::write_aside(path, &model.encode_to_vec())
    }

    /// Reads the file at `path` and checks its structure: every operator reads what stands before
    /// it, names are given once, outputs exist.
    ///
    /// # Errors
    /// A file that is none, or one with another structure than [`Onnx::save`] writes.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Onnx { path: path.into(), reason };
        let content = std::fs::read(path);
        let content = content.map_err(|source| Error::Io { path: path.into(), source })?;
        let model = ModelProto::decode(content.as_slice()).map_err(|e| wrong(e.to_string()))?;
        let opset = model.opset_import.iter().filter_map(|set| set.version).max();
        let graph = model.graph.ok_or_else(|| wrong("no graph".into()))?;
        check(&graph).map_err(wrong)?;
        Ok(Self { graph, opset: opset.unwrap_or_default(), path: path.into() })
    }

    /// The edition of ONNX's operators.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> Vec<&str> {
        self.graph.output.iter().filter_map(|output| output.name.as_deref()).collect()
    }

    /// How many operators the file has.
    pub fn operators(&self) -> usize {
        self.graph.node.len()
    }

    /// The outputs by name for `image`, `[batch, channels, height, width]`, on the CPU.
    ///
    /// # Errors
    /// An operator that [`Onnx::save`] does not write, or an image that does not fit.
    pub fn forward(&self, image: &Tensor) -> Result<Vec<(String, Tensor)>> {
        let wrong = |reason| Error::Onnx { path: self.path.clone(), reason };
        tch::no_grad(|| evaluate::run(&self.graph, image)).map_err(wrong)
    }
}

fn model(graph: GraphProto, extra: &str) -> ModelProto {
    let note = StringStringEntryProto { key: Some("polyptych".into()), value: Some(extra.into()) };
    ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("polyptych".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(OPSET) }],
        metadata_props: vec![note],
    }
}

fn check(graph: &GraphProto) -> std::result::Result<(), String> {
    let input = graph.input.iter().filter_map(|input| input.name.as_deref());
    let held = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let mut known: HashSet<&str> = input.chain(held).collect();
    if !known.contains(INPUT) {
        return Err(format!("no input `{INPUT}`"));
    }
    for node in &graph.node {
        let name = node.name.as_deref().unwrap_or_default();
        let absent =
            node.input.iter().find(|input| !input.is_empty() && !known.contains(input.as_str()));
        if let Some(input) = absent {
            return Err(format!("{name}: `{input}` does not stand before it"));
        }
        if let Some(again) = node.output.iter().find(|output| !known.insert(output)) {
            return Err(format!("{name}: `{again}` is there twice"));
        }
    }
    let mut outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
    match outputs.find(|name| !known.contains(name)) {
        Some(name) => Err(format!("output `{name}`: no operator gives it")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
