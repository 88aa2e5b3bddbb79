//! Tensors in JSON, flat or nested: the numbers alone, four bytes each, whatever their nesting.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// The numbers of a tensor in the order of its last axis.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<f32>);

impl Numbers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whole numbers from 0 to 255; none where there are others.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let byte = |&value: &f32| {
            let whole = value.fract() == 0.0 && (0.0..=255.0).contains(&value);
            whole.then_some(value as u8)
        };
        self.0.iter().map(byte).collect()
    }

    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        Some(self.0.clone())
    }
}

impl<'de> serde::Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        Into(&mut numbers).deserialize(deserializer)?;
        Ok(Self(numbers))
    }
}

/// Where numbers go, on every level of nesting.
struct Into<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("numbers, flat or nested")
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Into(self.0))?.is_some() {}
        Ok(())
    }
}
