//! Numbers of tables as their bytes, the lowest first.

use half::f16;

/// How a number lies: its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Signed(usize),
    Unsigned(usize),
    Float(usize),
}

impl Number {
    /// Bytes of a number.
    pub(super) fn size(self) -> usize {
        let (Self::Signed(size) | Self::Unsigned(size) | Self::Float(size)) = self;
        size
    }

    /// As Arrow calls it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Signed(size) => format!("int{}", 8 * size),
            Self::Unsigned(size) => format!("uint{}", 8 * size),
            Self::Float(2) => "halffloat".to_owned(),
            Self::Float(4) => "float".to_owned(),
            Self::Float(_) => "double".to_owned(),
        }
    }

    /// As NumPy calls it.
    pub(super) fn numpy(self) -> String {
        match self {
            Self::Signed(size) => format!("<i{size}"),
            Self::Unsigned(size) => format!("<u{size}"),
            Self::Float(size) => format!("<f{size}"),
        }
    }

    /// The digits of a number.
    pub(super) fn digits(self, bytes: &[u8]) -> String {
        let value = wide(bytes);
        match self {
            Self::Unsigned(_) => value.to_string(),
            Self::Signed(size) => {
                let unused = 64 - 8 * size as u32;
                (((value << unused) as i64) >> unused).to_string()
            }
            Self::Float(2) => f16::from_bits(value as u16).to_string(),
            Self::Float(4) => f32::from_bits(value as u32).to_string(),
            Self::Float(_) => f64::from_bits(value).to_string(),
        }
    }

    /// What stands for a number that is not there; none where nothing can.
    pub(super) fn missing(self) -> Option<Vec<u8>> {
        match self {
            Self::Float(2) => Some(f16::NAN.to_le_bytes().to_vec()),
            Self::Float(4) => Some(f32::NAN.to_le_bytes().to_vec()),
            Self::Float(_) => Some(f64::NAN.to_le_bytes().to_vec()),
            Self::Signed(_) | Self::Unsigned(_) => None,
        }
    }
}

/// A number of up to eight bytes, the lowest first.
pub(super) fn wide(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for (number, bytes, digits) in [
            (Number::Signed(1), vec![0xfe], "-2"),
            (Number::Unsigned(1), vec![0xfe], "254"),
            (Number::Signed(4), (-70_000_i32).to_le_bytes().to_vec(), "-70000"),
            (Number::Unsigned(4), u32::MAX.to_le_bytes().to_vec(), "4294967295"),
            (Number::Signed(8), i64::MIN.to_le_bytes().to_vec(), "-9223372036854775808"),
            (Number::Float(2), f16::from_f32(1.5).to_le_bytes().to_vec(), "1.5"),
            (Number::Float(4), 0.1_f32.to_le_bytes().to_vec(), "0.1"),
            (Number::Float(8), (-2.25_f64).to_le_bytes().to_vec(), "-2.25"),
        ] {
            assert_eq!(number.digits(&bytes), digits, "{number:?}");
            assert_eq!(number.size(), bytes.len());
        }
    }
}
