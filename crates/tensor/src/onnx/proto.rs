//! The part of ONNX's messages that a traced model needs, by the numbers that ONNX gives fields.

use std::mem::size_of;

use tch::{Device, Kind, Tensor};

/// `AttributeProto.AttributeType` of what stands in `f`, `i`, `s` and `ints`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const INTS: i32 = 7;

/// `TensorProto.DataType`, and the same in LibTorch's words.
const KINDS: [(i32, Kind); 3] = [(1, Kind::Float), (7, Kind::Int64), (9, Kind::Bool)];

/// A whole file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub(super) ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) producer_version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub(super) metadata_props: Vec<StringStringEntryProto>,
}

/// Which edition of which operators.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub(super) domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(super) version: Option<i64>,
}

/// A note.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub(super) key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) value: Option<String>,
}

/// Operations in an order in which they can run.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
}

/// One operation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
}

/// A setting of an operation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) s: Option<Vec<u8>>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(int32, optional, tag = "20")]
    pub(super) r#type: Option<i32>,
}

/// Numbers that belong to the file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(super) data_type: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub(super) name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) raw_data: Option<Vec<u8>>,
}

/// An input or output.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) r#type: Option<TypeProto>,
}

/// Of all types only that of a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorTypeProto>,
}

/// What a tensor consists of, and its extents.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub(super) elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
}

/// Extents, axis by axis.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

/// A number, or a name for one that is free.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) dim_param: Option<String>,
}

impl ValueInfoProto {
    /// Images or raw outputs of floats: `[batch, ..behind]`.
    pub(super) fn batched(name: &str, behind: &[i64]) -> Self {
        let free = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
        let fixed = |&n: &i64| DimensionProto { dim_value: Some(n), dim_param: None };
        let dim = std::iter::once(free).chain(behind.iter().map(fixed)).collect();
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorTypeProto { elem_type: Some(KINDS[0].0), shape });
        Self { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
    }
}

impl AttributeProto {
    pub(super) fn int(name: &str, i: i64) -> Self {
        Self { name: Some(name.into()), i: Some(i), r#type: Some(INT), ..Self::default() }
    }

    pub(super) fn float(name: &str, f: f64) -> Self {
        Self { name: Some(name.into()), f: Some(f as f32), r#type: Some(FLOAT), ..Self::default() }
    }

    pub(super) fn text(name: &str, text: &str) -> Self {
        let s = Some(text.as_bytes().to_vec());
        Self { name: Some(name.into()), s, r#type: Some(STRING), ..Self::default() }
    }

    pub(super) fn ints(name: &str, ints: &[i64]) -> Self {
        let (name, ints) = (Some(name.into()), ints.to_vec());
        Self { name, ints, r#type: Some(INTS), ..Self::default() }
    }
}

impl TensorProto {
    /// `tensor` under `name`; an error for numbers of a kind that no model here has.
    pub(super) fn of(name: &str, tensor: &Tensor) -> Result<Self, String> {
        let known = KINDS.iter().find(|(_, kind)| *kind == tensor.kind());
        let (data_type, _) = known.ok_or_else(|| format!("{name}: numbers {:?}", tensor.kind()))?;
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        let mut raw = vec![0; bytes];
        let plain = tensor.to_device(Device::Cpu).contiguous();
        plain.f_copy_data_u8(&mut raw, tensor.numel()).map_err(|e| e.to_string())?;
        Ok(Self {
            dims: tensor.size(),
            data_type: Some(*data_type),
            name: Some(name.into()),
            raw_data: Some(raw),
        })
    }

    /// The tensor of these bytes.
    pub(super) fn tensor(&self) -> Result<Tensor, String> {
        let name = self.name.as_deref().unwrap_or_default();
        let found = self.data_type.unwrap_or_default();
        let known = KINDS.iter().find(|(data_type, _)| *data_type == found);
        let (_, kind) = known.ok_or_else(|| format!("{name}: numbers of type {found}"))?;
        let raw = self.raw_data.as_deref().unwrap_or_default();
        let counted = self.dims.iter().try_fold(1, |product: usize, &extent| {
            product.checked_mul(usize::try_from(extent).ok()?)
        });
        let wanted = counted.and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        if wanted != Some(raw.len()) {
            return Err(format!("{name}: {} bytes for a shape of {:?}", raw.len(), self.dims));
        }
        if raw.is_empty() {
            return Ok(Tensor::zeros(&self.dims, (*kind, Device::Cpu)));
        }
        Tensor::f_from_data_size(raw, &self.dims, *kind).map_err(|e| e.to_string())
    }
}

const _: () = assert!(size_of::<f32>() == 4 && cfg!(target_endian = "little"));
