//! MATLAB's MAT-files, version 5 (MathWorks, "MAT-File Format", the chapter on level 5).
//!
//! Read are numbers, logicals, text, cells and structures, compressed or not, of either byte
//! order. Other classes (sparse, objects, functions) are passed over. Version 7.3 is HDF5 and is
//! refused by name.

mod element;
mod matrix;
mod value;

use std::borrow::Cow;

use self::element::Elements;
use self::matrix::matrix;
pub(crate) use self::value::Value;
use super::bounds::Decoded;

/// The variable of this name. Others may be of any class.
pub(crate) fn variable(bytes: &[u8], name: &str) -> Decoded<Value> {
    let big = byte_order(bytes)?;
    let all = variables(bytes, big)?;
    if let Some(found) =
        all.iter().find(|variable| matches!(&variable.name, Ok(own) if own == name))
    {
        return value(found.kind, found.data, big);
    }
    if let Some(reason) = all.iter().find_map(|variable| variable.name.clone().err()) {
        return Err(reason);
    }
    Err(format!("no variable {name}, found [{}]", names_of(all).join(", ")))
}

/// The names of all variables.
pub(crate) fn names(bytes: &[u8]) -> Decoded<Vec<String>> {
    variables(bytes, byte_order(bytes)?).map(names_of)
}

fn names_of(all: Vec<Variable<'_>>) -> Vec<String> {
    all.into_iter().filter_map(|variable| variable.name.ok()).collect()
}

/// A variable that is not read yet.
struct Variable<'a> {
    name: Decoded<String>,
    kind: u32,
    data: &'a [u8],
}

fn variables(bytes: &[u8], big: bool) -> Decoded<Vec<Variable<'_>>> {
    let mut elements = Elements::new(&bytes[128..], big);
    let mut found = Vec::new();
    while let Some((kind, data)) = elements.next()? {
        let head = match kind {
            element::COMPRESSED => element::inflate_head(data).map(Cow::Owned),
            element::MATRIX => Ok(Cow::Borrowed(data)),
            _ => continue,
        };
        // Variables of classes that no numbers have may have no such head.
        match head.map(|head| matrix::name(&head, big)) {
            Ok(Some(name)) => found.push(Variable { name: Ok(name), kind, data }),
            Ok(None) => {}
            Err(reason) => found.push(Variable { name: Err(reason), kind, data }),
        }
    }
    Ok(found)
}

/// The value of an element that holds an array.
fn value(kind: u32, data: &[u8], big: bool) -> Decoded<Value> {
    if kind == element::MATRIX {
        return matrix(data, big);
    }
    let inflated = element::inflate(data)?;
    match Elements::new(&inflated, big).next()? {
        Some((element::MATRIX, data)) => matrix(data, big),
        _ => Err("compressed bytes that are no array".to_owned()),
    }
}

/// Whether numbers start with their highest byte.
fn byte_order(bytes: &[u8]) -> Decoded<bool> {
    let header = bytes.get(..128).ok_or("shorter than a header")?;
    if header.starts_with(b"MATLAB 7.3") || header.starts_with(b"\x89HDF") {
        return Err("version 7.3, which is HDF5: save it with -v7".to_owned());
    }
    match [header[124], header[125], header[126], header[127]] {
        [0, 1, b'I', b'M'] => Ok(false),
        [1, 0, b'M', b'I'] => Ok(true),
        // Level 4 has no text: a file begins with a type of four decimal digits.
        _ if (0..5000)
            .contains(&i32::from_le_bytes([header[0], header[1], header[2], header[3]])) =>
        {
            Err("version 4: save it with -v7".to_owned())
        }
        _ => Err("unknown header".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
