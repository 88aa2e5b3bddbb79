//! A level at another width and size.

use polyptych_tensor::{Conv2d, Result, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conv_transpose::ConvTranspose2d;

/// How many times larger a level becomes along each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
pub enum Factor {
    /// 4.
    Four,
    /// 2.
    Two,
    /// 1.
    One,
    /// 0.5, rounded up.
    Half,
}

impl Factor {
    /// A whole number times this, rounded down.
    pub(super) fn enlarged(self, side: i64) -> i64 {
        match self {
            Factor::Four => side * 4,
            Factor::Two => side * 2,
            Factor::One => side,
            Factor::Half => side / 2,
        }
    }
}

impl TryFrom<f64> for Factor {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let all = [Factor::Four, Factor::Two, Factor::One, Factor::Half];
        let found = all.into_iter().find(|&factor| f64::from(factor) == number);
        found.ok_or_else(|| format!("expected 4, 2, 1 or 0.5, found {number}"))
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> Self {
        match factor {
            Factor::Four => 4.0,
            Factor::Two => 2.0,
            Factor::One => 1.0,
            Factor::Half => 0.5,
        }
    }
}

/// `projection`: 1 x 1 convolution; `resize`: a transposed convolution whose stride is its kernel,
/// or one of kernel 3 and stride 2.
#[derive(Debug)]
pub(super) struct Reassemble {
    projection: Conv2d,
    resize: Resize,
}

#[derive(Debug)]
enum Resize {
    Not,
    Down(Conv2d),
    Up(ConvTranspose2d),
}

impl Reassemble {
    pub(super) fn new(scope: &Scope, [from, to]: [i64; 2], factor: Factor) -> Result<Self> {
        let projection = Conv2d::new(&scope.pp("projection"), [from, to], [1, 1], true)?;
        let scope = scope.pp("resize");
        let resize = match factor {
            Factor::One => Resize::Not,
            Factor::Half => {
                Resize::Down(Conv2d::new(&scope, [to, to], [3, 2], true)?.with_padding(1))
            }
            Factor::Four | Factor::Two => {
                Resize::Up(ConvTranspose2d::new(&scope, [to, to], factor.enlarged(1))?)
            }
        };
        Ok(Self { projection, resize })
    }

    /// `[batch, from, height, width]` to `[batch, to, height', width']`.
    pub(super) fn forward(&self, level: &Tensor) -> Tensor {
        let map = self.projection.forward(level);
        match &self.resize {
            Resize::Not => map,
            Resize::Down(conv) => conv.forward(&map),
            Resize::Up(up) => up.forward(&map),
        }
    }
}
