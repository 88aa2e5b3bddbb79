//! Which instructions kernels use, and what they compute with them.

use std::fmt;

use crate::bridge::ffi;
use crate::error::{Error, Result};

/// Name of the variable that forces instructions: `none`, `avx2`, `avx512`, `avx512_bf16` or `amx`.
pub const VARIABLE: &str = "POLYPTYCH_CPU";

/// Kinds of instructions; each has what those before it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Instructions {
    /// Vectors of 128 bits, which every processor has.
    None,
    /// Vectors of 256 bits (AVX2, FMA, BMI and BMI2).
    Avx2,
    /// Vectors of 512 bits (AVX-512 F, BW, CD, DQ and VL).
    Avx512,
    /// Those, and products of pairs of bfloat16.
    Avx512Bf16,
    /// Those, and tiles of bfloat16, which oneDNN uses, and of bytes.
    Amx,
}

impl Instructions {
    /// All, from the least to the most.
    pub const ALL: [Self; 5] = [Self::None, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// The best that this processor has.
    pub fn best() -> Self {
        Self::of(ffi::best_instructions())
    }

    /// What this process uses: what `POLYPTYCH_CPU` says, or the best. Decided once, so that runs
    /// are equal to the last bit on one machine.
    ///
    /// # Errors
    /// A word that is none of them, or instructions that this processor lacks.
    pub fn in_use() -> Result<Self> {
        let found = ffi::instructions_in_use().map(Self::of);
        found.map_err(|error| Error::Instructions { reason: first_line(error.what()) })
    }

    fn of(level: u8) -> Self {
        Self::ALL[usize::from(level).min(Self::ALL.len() - 1)]
    }

    /// Who computes a product `x W^T`, or `x W^T + low up^T`.
    pub fn product(self, shape: ProductShape) -> Product {
        let ProductShape { bf16, depth, width, rank } = shape;
        match ffi::product_by(self as u8, bf16, depth, width, rank) {
            0 => Product::Tiles,
            1 => Product::OneDnn,
            _ => Product::OneDnnInFloats,
        }
    }

    /// Whether attention goes head by head, in tiles that stay in the first caches, instead of in
    /// products of all heads: of `tokens` in heads of `width` numbers.
    pub fn attends_in_tiles(self, bf16: bool, tokens: i64, width: i64) -> bool {
        ffi::attention_in_tiles(self as u8, bf16, tokens, width)
    }

    /// Whether tiles multiply bfloat16 in pairs, instead of as floats of the same numbers: not on
    /// Intel's processors, where floats are faster.
    pub fn multiplies_pairs(self) -> bool {
        ffi::tiles_of_pairs(self as u8)
    }

    /// Who multiplies bytes.
    pub fn bytes(self) -> Bytes {
        match ffi::bytes_by(self as u8) {
            0 => Bytes::Floats,
            1 => Bytes::Vectors,
            _ => Bytes::Amx,
        }
    }

    /// What each of the kernels' choices comes to, a line each.
    pub fn rules(self) -> Vec<(&'static str, String)> {
        let product = |bf16| self.product(ProductShape { bf16, depth: 768, width: 768, rank: 0 });
        let attention = |bf16| match self.attends_in_tiles(bf16, 49, 32) {
            true => "tiles up to 256 tokens",
            false => "products of all heads",
        };
        let pairs = match self.multiplies_pairs() {
            true => "pairs of numbers",
            false => "floats of the same numbers",
        };
        vec![
            ("loops", self.loops().into()),
            ("products in float32", product(false).to_string()),
            ("products in bfloat16", product(true).to_string()),
            ("tiles of bfloat16", pairs.into()),
            ("products in int8", self.bytes().to_string()),
            ("attention in float32", attention(false).into()),
            ("attention in bfloat16", attention(true).into()),
        ]
    }

    fn loops(self) -> &'static str {
        match self {
            Self::None => "vectors of 4 numbers",
            Self::Avx2 => "vectors of 8 numbers (AVX2)",
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx => "vectors of 16 numbers (AVX-512)",
        }
    }
}

/// The word of [`VARIABLE`].
impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512_bf16",
            Self::Amx => "amx",
        })
    }
}

/// Shape of a product `x W^T + low up^T`: `x` `[.., depth]`, `W` `[width, depth]`, `low`
/// `[.., rank]`, or nothing of rank 0.
#[derive(Debug, Clone, Copy)]
pub struct ProductShape {
    /// Whether numbers are bfloat16, and not float32.
    pub bf16: bool,
    /// Numbers that one output sums over.
    pub depth: i64,
    /// Outputs of a row.
    pub width: i64,
    /// Width of the narrow side.
    pub rank: i64,
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Tiles of this crate, which add the narrow side, draw masks and end with bias and GELU.
    Tiles,
    /// oneDNN, which adds bias, GELU and another tensor; masks are loops of this crate.
    OneDnn,
    /// The same in float32, where it has no bfloat16; numbers are widened and rounded.
    OneDnnInFloats,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiles => "tiles of our own",
            Self::OneDnn => "oneDNN",
            Self::OneDnnInFloats => "oneDNN in float32",
        })
    }
}

/// Who multiplies bytes; the sums are integers, and the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// As floats of the same numbers.
    Floats,
    /// Tiles of this crate in vectors, four bytes at a time (VNNI).
    Vectors,
    /// Tiles of this crate in those of AMX.
    Amx,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floats => "floats of the same numbers",
            Self::Vectors => "tiles of our own (VNNI)",
            Self::Amx => "tiles of our own (AMX)",
        })
    }
}

/// LibTorch adds where in its source an error arose.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(on: Instructions, bf16: bool, [depth, width, rank]: [i64; 3]) -> Product {
        on.product(ProductShape { bf16, depth, width, rank })
    }

    #[test]
    fn a_product_goes_where_its_instructions_are_fastest() {
        use Instructions::{Amx, Avx2, Avx512, Avx512Bf16, None};
        use Product::{OneDnn, OneDnnInFloats, Tiles};
        // Plain and with a narrow side, in float32 and in bfloat16.
        let shapes = [(false, 0), (false, 64), (true, 0), (true, 64)];
        let table = [
            (None, [OneDnn, OneDnn, OneDnnInFloats, OneDnnInFloats]),
            (Avx2, [OneDnn, OneDnn, Tiles, Tiles]),
            (Avx512, [Tiles, Tiles, OneDnn, OneDnn]),
            (Avx512Bf16, [Tiles, Tiles, Tiles, Tiles]),
            (Amx, [Tiles, Tiles, OneDnn, OneDnn]),
        ];
        for (on, expected) in table {
            let found = shapes.map(|(bf16, rank)| product(on, bf16, [768, 768, rank]));
            assert_eq!(found, expected, "{on}");
        }
    }

    #[test]
    fn a_product_of_an_odd_shape_goes_to_onednn() {
        use Instructions::{Avx2, Avx512Bf16};
        // Few columns, little depth, more depth than caches hold; halves of pairs.
        for shape in [[768, 16, 0], [8, 768, 0], [8192, 768, 0]] {
            assert_eq!(product(Avx512Bf16, true, shape), Product::OneDnn, "{shape:?}");
            assert_eq!(product(Avx2, true, shape), Product::OneDnnInFloats, "{shape:?}");
        }
        for shape in [[767, 768, 0], [768, 768, 3]] {
            assert_eq!(product(Avx512Bf16, true, shape), Product::OneDnn, "{shape:?}");
            assert_eq!(product(Avx2, true, shape), Product::Tiles, "{shape:?}");
        }
        assert_eq!(product(Avx512Bf16, true, [16, 17, 64]), Product::Tiles);
        assert_eq!(product(Avx512Bf16, false, [16, 17, 0]), Product::OneDnn);
        assert_eq!(product(Avx512Bf16, false, [33, 17, 3]), Product::Tiles);
    }

    #[test]
    fn attention_goes_in_tiles_where_they_hold_it() {
        use Instructions::{Avx2, Avx512, None};
        let tiles = |bf16| Instructions::ALL.map(|on| on.attends_in_tiles(bf16, 49, 32));
        assert_eq!(tiles(false), [false, true, true, true, true]);
        assert_eq!(tiles(true), [true, true, false, true, true]);
        assert!(!Avx2.attends_in_tiles(false, 257, 32));
        // A head's width in whole pairs of vectors.
        assert_eq!(
            [None, Avx2, Avx512].map(|on| on.attends_in_tiles(false, 49, 16)),
            [false, true, false]
        );
    }

    #[test]
    fn pairs_are_multiplied_by_vectors_that_have_the_instruction_alone() {
        use Instructions::{Avx2, Avx512, None};
        assert!(![None, Avx2, Avx512].iter().any(|on| on.multiplies_pairs()));
    }

    #[test]
    fn bytes_are_multiplied_by_vectors_of_512_bits_and_by_amx_alone() {
        use Instructions::{Amx, Avx2, Avx512, Avx512Bf16, None};
        assert!([None, Avx2].iter().all(|on| on.bytes() == Bytes::Floats));
        assert!([Avx512, Avx512Bf16].iter().all(|on| on.bytes() != Bytes::Amx));
        if Instructions::best() == Amx {
            assert_ne!(Amx.bytes(), Bytes::Floats);
        }
    }

    #[test]
    fn what_is_in_use_is_what_the_variable_says_or_the_best() {
        let found = Instructions::in_use().unwrap();
        let forced = std::env::var(VARIABLE).unwrap_or_default();
        assert!(
            found.to_string() == forced || (forced.is_empty() && found == Instructions::best())
        );
        assert!(found.rules().iter().all(|(name, choice)| !name.is_empty() && !choice.is_empty()));
    }
}
