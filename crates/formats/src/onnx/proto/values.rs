//! Messages from what they say, and tensors from messages.

use tch::{Device, Kind, Tensor};

use super::{
    AttributeProto, DimensionProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// `AttributeProto.AttributeType` of what stands in `f`, `i`, `s` and `ints`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const INTS: i32 = 7;

/// `TensorProto.DataType`, and the same in LibTorch's words.
const KINDS: [(i32, Kind); 5] =
    [(1, Kind::Float), (2, Kind::Uint8), (3, Kind::Int8), (7, Kind::Int64), (9, Kind::Bool)];

// The bytes of numbers go into the file as they are, and ONNX's are little-endian.
const _: () = assert!(cfg!(target_endian = "little"));

impl ValueInfoProto {
    /// Images or raw outputs of floats: `[batch, ..behind]`.
    pub(in crate::onnx) fn batched(name: &str, behind: &[i64]) -> Self {
        let free = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
        let fixed = |&n: &i64| DimensionProto { dim_value: Some(n), dim_param: None };
        let dim = std::iter::once(free).chain(behind.iter().map(fixed)).collect();
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorTypeProto { elem_type: Some(KINDS[0].0), shape });
        Self { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
    }
}

impl AttributeProto {
    pub(in crate::onnx) fn int(name: &str, i: i64) -> Self {
        Self { name: Some(name.into()), i: Some(i), r#type: Some(INT), ..Self::default() }
    }

    pub(in crate::onnx) fn float(name: &str, f: f64) -> Self {
        Self { name: Some(name.into()), f: Some(f as f32), r#type: Some(FLOAT), ..Self::default() }
    }

    pub(in crate::onnx) fn text(name: &str, text: &str) -> Self {
        let s = Some(text.as_bytes().to_vec());
        Self { name: Some(name.into()), s, r#type: Some(STRING), ..Self::default() }
    }

    pub(in crate::onnx) fn ints(name: &str, ints: &[i64]) -> Self {
        let (name, ints) = (Some(name.into()), ints.to_vec());
        Self { name, ints, r#type: Some(INTS), ..Self::default() }
    }
}

impl TensorProto {
    /// `tensor` under `name`; an error for numbers of a kind that no model here has.
    pub(in crate::onnx) fn of(name: &str, tensor: &Tensor) -> Result<Self, String> {
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
    pub(in crate::onnx) fn tensor(&self) -> Result<Tensor, String> {
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
