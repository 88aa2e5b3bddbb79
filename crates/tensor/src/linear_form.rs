//! How a linear map is computed: as it is, watched, packed, or in int8.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_kernels::{Int8Weight, PackedWeight, QuantizedInput};
use tch::{Kind, Tensor};

/// A linear map in int8: its matrix, and how its inputs become bytes.
#[derive(Debug, Clone)]
pub struct Int8 {
    /// The matrix.
    pub weight: Rc<Int8Weight>,
    /// The range of inputs that calibration found.
    pub input: QuantizedInput,
    /// Whether each token has a range of its own instead.
    pub per_token: bool,
}

impl Int8 {
    /// The map, and GELU behind it where that is wanted.
    pub(crate) fn forward(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Tensor {
        let bias = bias.map(|bias| bias.to_kind(x.kind()));
        self.weight.linear(x, bias.as_ref(), self.input, self.per_token, gelu)
    }
}

/// How a linear map is computed now; clones are one.
#[derive(Debug, Clone, Default)]
pub struct LinearForm(Rc<RefCell<Form>>);

#[derive(Debug, Default)]
enum Form {
    #[default]
    AsItIs,
    /// Notes the range of its inputs.
    Observed(Option<[f64; 2]>),
    /// Gives its own outputs, and sums squares of them and of how far the other's are from them.
    Compared(Int8, [f64; 2]),
    Own(OwnMatrix),
}

/// A matrix in place of the parameter's.
#[derive(Debug, Clone)]
pub(crate) enum OwnMatrix {
    Packed(Rc<PackedWeight>),
    Int8(Int8),
}

impl OwnMatrix {
    /// The map, and GELU behind it where that is wanted.
    pub(crate) fn forward(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Tensor {
        match self {
            Self::Packed(packed) => packed.linear(x, bias, gelu),
            Self::Int8(int8) => int8.forward(x, bias, gelu),
        }
    }
}

impl LinearForm {
    /// Computes the map as it is and notes the range of its inputs, until it takes another form.
    pub fn observe(&self) {
        *self.0.borrow_mut() = Form::Observed(None);
    }

    /// Smallest and largest input since [`LinearForm::observe`]; nothing where there was none.
    pub fn observed(&self) -> Option<[f64; 2]> {
        match &*self.0.borrow() {
            Form::Observed(range) => *range,
            _ => None,
        }
    }

    /// Computes the map as it is and compares its outputs with those of `int8`.
    pub fn compare(&self, int8: Int8) {
        *self.0.borrow_mut() = Form::Compared(int8, [0.0; 2]);
    }

    /// `|y - y'| / |y|` over all outputs `y` and those of the int8 form, `y'`, since
    /// [`LinearForm::compare`]; nothing where there was none.
    pub fn error(&self) -> Option<f64> {
        match &*self.0.borrow() {
            Form::Compared(_, [apart, own]) if *own > 0.0 => Some((apart / own).sqrt()),
            _ => None,
        }
    }

    /// Computes the map in int8 from now on, or as it is where there is none.
    pub fn set_int8(&self, int8: Option<Int8>) {
        *self.0.borrow_mut() = int8.map_or(Form::AsItIs, |int8| Form::Own(OwnMatrix::Int8(int8)));
    }

    /// The int8 form in which it is computed.
    pub fn int8(&self) -> Option<Int8> {
        match &*self.0.borrow() {
            Form::Own(OwnMatrix::Int8(int8)) => Some(int8.clone()),
            _ => None,
        }
    }

    /// Computes the map by `packed` from now on.
    pub fn set_packed(&self, packed: PackedWeight) {
        *self.0.borrow_mut() = Form::Own(OwnMatrix::Packed(Rc::new(packed)));
    }

    /// The matrix that takes the place of the parameter's.
    pub(crate) fn own_matrix(&self) -> Option<OwnMatrix> {
        match &*self.0.borrow() {
            Form::Own(matrix) => Some(matrix.clone()),
            _ => None,
        }
    }

    /// Whether it notes what passes.
    pub(crate) fn is_watched(&self) -> bool {
        matches!(&*self.0.borrow(), Form::Observed(_) | Form::Compared(..))
    }

    /// Widens the range of inputs, where that is observed.
    pub(crate) fn note_input(&self, x: &Tensor) {
        if let Form::Observed(range) = &mut *self.0.borrow_mut() {
            let (least, most) = (x.min().double_value(&[]), x.max().double_value(&[]));
            let [before_least, before_most] = range.unwrap_or([least, most]);
            *range = Some([least.min(before_least), most.max(before_most)]);
        }
    }

    /// Adds to the error, where outputs are compared.
    pub(crate) fn note_error(&self, x: &Tensor, bias: Option<&Tensor>, y: &Tensor) {
        if let Form::Compared(int8, [apart, own]) = &mut *self.0.borrow_mut() {
            let square = |t: &Tensor| {
                let t = t.to_kind(Kind::Float);
                (&t * &t).sum(Kind::Double).double_value(&[])
            };
            *apart += square(&(int8.forward(x, bias, false) - y));
            *own += square(y);
        }
    }
}
