//! Numbers that nodes read: the model's, and those that the code names.

use tch::{Device, Kind, Tensor};

use super::{Graph, INPUT};
use crate::onnx::proto::{AttributeProto, TensorProto};
use crate::onnx::value::Wire;
use crate::script::Extent;

impl Graph<'_> {
    pub(super) fn initializer(&mut self, name: &str, tensor: &Tensor) -> Result<(), String> {
        let proto = TensorProto::of(name, tensor)?;
        self.initializers.insert(name.into(), proto);
        Ok(())
    }

    /// The constant `index`, a matrix, transposed in the file.
    pub(in crate::onnx) fn transposed(&mut self, index: usize) -> Result<Wire, String> {
        let name = format!("c{index}.T");
        if !self.initializers.contains_key(&name) {
            self.initializer(&name, &self.constants[index].tr())?;
        }
        Ok(Wire { name, rank: 2, constant: None })
    }

    /// A tensor `name` that follows from the constants, in the file.
    pub(in crate::onnx) fn computed(
        &mut self,
        name: &str,
        of: impl FnOnce(&[Tensor]) -> Tensor,
    ) -> Result<Wire, String> {
        let tensor = of(self.constants);
        self.initializer(name, &tensor)?;
        Ok(Wire { name: name.into(), rank: tensor.dim(), constant: None })
    }

    /// A byte as a tensor without axes.
    pub(in crate::onnx) fn byte(&mut self, byte: u8) -> Result<Wire, String> {
        let name = format!("u{byte}");
        self.initializer(&name, &Tensor::from(i64::from(byte)).to_kind(Kind::Uint8))?;
        Ok(Wire { name, rank: 0, constant: None })
    }

    /// No tensor, where an operator may do without.
    pub(in crate::onnx) fn nothing(&self) -> Wire {
        Wire { name: String::new(), rank: 0, constant: None }
    }

    /// Ones of this shape.
    pub(in crate::onnx) fn ones(&mut self, shape: &[i64]) -> Result<Wire, String> {
        let extents: Vec<String> = shape.iter().map(i64::to_string).collect();
        let name = format!("ones.{}", extents.join("."));
        self.initializer(&name, &Tensor::ones(shape, (Kind::Float, Device::Cpu)))?;
        Ok(Wire { name, rank: shape.len(), constant: None })
    }

    /// Integers as a tensor of one axis.
    pub(in crate::onnx) fn integers(&mut self, integers: &[i64]) -> Result<Wire, String> {
        let digits: Vec<String> = integers.iter().map(i64::to_string).collect();
        let name = format!("i.{}", digits.join("."));
        self.initializer(&name, &Tensor::from_slice(integers))?;
        Ok(Wire { name, rank: 1, constant: None })
    }

    /// An integer as a tensor without axes.
    pub(in crate::onnx) fn integer(&mut self, integer: i64) -> Result<Wire, String> {
        let name = format!("i{integer}");
        self.initializer(&name, &Tensor::from(integer))?;
        Ok(Wire { name, rank: 0, constant: None })
    }

    /// A number as a tensor without axes.
    pub(in crate::onnx) fn float(&mut self, float: f64) -> Result<Wire, String> {
        let name = format!("f{float}");
        self.initializer(&name, &Tensor::from(float as f32))?;
        Ok(Wire { name, rank: 0, constant: None })
    }

    /// Integers, of which some may follow from the batch, as a tensor of one axis.
    pub(in crate::onnx) fn extents(&mut self, extents: &[Extent]) -> Result<Wire, String> {
        if extents.iter().all(|extent| extent.slope == 0) {
            let fixed: Vec<i64> = extents.iter().map(|extent| extent.rest).collect();
            return self.integers(&fixed);
        }
        let parts = extents.iter().map(|extent| self.extent(*extent));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let axis = AttributeProto::int("axis", 0);
        self.node("Concat", &parts.iter().collect::<Vec<_>>(), vec![axis], 1)
    }

    fn extent(&mut self, extent: Extent) -> Result<Wire, String> {
        if extent.slope == 0 {
            return self.integers(&[extent.rest]);
        }
        let image = Wire { name: INPUT.into(), rank: 0, constant: None };
        let ends = vec![AttributeProto::int("start", 0), AttributeProto::int("end", 1)];
        let batch = self.node("Shape", &[&image], ends, 1)?;
        let (slope, rest) = (self.integers(&[extent.slope])?, self.integers(&[extent.rest])?);
        let scaled = self.node("Mul", &[&batch, &slope], Vec::new(), 1)?;
        self.node("Add", &[&scaled, &rest], Vec::new(), 1)
    }
}
