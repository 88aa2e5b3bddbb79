//! Numbers and names as exporters write them where COCO has whole numbers and slashes: `7.0`, `"7"`,
//! `true`, `null`, `.\a\b.jpg`. pycocotools takes most of these for the same.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A whole number of whatever writing; none for `null`.
#[derive(Debug, Clone, Copy)]
struct Whole(Option<i64>);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Numbers)
    }
}

struct Numbers;

impl Visitor<'_> for Numbers {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
        Ok(Whole(Some(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
        let wide = || E::custom(format!("expected a whole number below 2^63, found {number}"));
        i64::try_from(number).map(|number| Whole(Some(number))).map_err(|_| wide())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
        // Above 2^53, doubles of neighbouring whole numbers are equal.
        match number.fract() == 0.0 && number.abs() < 9e15 {
            true => Ok(Whole(Some(number as i64))),
            false => Err(E::custom(format!("expected a whole number, found {number}"))),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Whole, E> {
        Ok(Whole(Some(i64::from(value))))
    }

    fn visit_unit<E: Error>(self) -> Result<Whole, E> {
        Ok(Whole(None))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
        let other = || E::custom(format!("expected a whole number, found {text:?}"));
        text.trim().parse().map(|number| Whole(Some(number))).map_err(|_| other())
    }
}

/// A number that has to be there.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(from: D) -> Result<T, D::Error> {
    let number = Whole::deserialize(from)?.0;
    let number = number.ok_or_else(|| D::Error::custom("expected a whole number, found null"))?;
    within(number)
}

/// A number that may be absent, as `null`.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Ok(Whole::deserialize(from)?.0)
}

/// A number that is 0 where it is absent.
pub(super) fn or_zero<'de, D: Deserializer<'de>, T: TryFrom<i64>>(from: D) -> Result<T, D::Error> {
    within(Whole::deserialize(from)?.0.unwrap_or(0))
}

fn within<T: TryFrom<i64>, E: Error>(number: i64) -> Result<T, E> {
    T::try_from(number).map_err(|_| E::custom(format!("a number out of range: {number}")))
}

/// A path with slashes, without `./` in front; one of Windows has neither a slash nor another use for
/// `\`.
pub(super) fn slashes<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let name = if name.contains('/') { name } else { name.replace('\\', "/") };
    Ok(match name.strip_prefix("./") {
        Some(below) => below.to_owned(),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use crate::coco::CocoFile;

    fn parsed(id: &str, crowd: &str, name: &str) -> Result<CocoFile, String> {
        let text = format!(
            r#"{{"images": [{{"id": {id}, "file_name": {name}, "height": 4.0, "width": 6}}],
            "annotations": [{{"id": 1, "image_id": {id}, "category_id": 3.0, "iscrowd": {crowd},
            "segmentation": {{"size": [4, 6], "counts": [4.0, 2.0, 18.0]}}}}],
            "categories": [{{"id": "3", "name": "cat"}}]}}"#
        );
        CocoFile::parse(text.as_bytes())
    }

    #[test]
    fn whole_numbers_of_whatever_writing_are_read() {
        for id in ["7", "7.0", "\"7\""] {
            for (crowd, expected) in [("0", 0), ("null", 0), ("false", 0), ("true", 1), ("1.0", 1)]
            {
                let file = parsed(id, crowd, r#""a.jpg""#).unwrap();
                let (image, annotation) = (&file.images[0], &file.annotations[0]);
                assert_eq!((image.id, image.height, annotation.image_id), (7, 4, 7));
                assert_eq!(annotation.category_id, Some(file.categories[0].id));
                assert_eq!(annotation.iscrowd, expected, "{crowd}");
                assert_eq!(annotation.masks([4, 6]).unwrap()[0].counts, [4, 2, 18]);
            }
        }
        for (id, reason) in [
            ("7.5", "expected a whole number, found 7.5"),
            ("null", "expected a whole number, found null"),
            ("\"x7\"", "expected a whole number, found \"x7\""),
            ("18446744073709551615", "expected a whole number below 2^63"),
        ] {
            let message = parsed(id, "0", r#""a.jpg""#).unwrap_err();
            assert!(message.starts_with(reason), "{message}");
        }
    }

    #[test]
    fn paths_of_windows_and_of_here_are_paths_below_the_folder() {
        for name in [r#""a\\b.jpg""#, r#""./a/b.jpg""#, r#"".\\a\\b.jpg""#, r#""a/b.jpg""#] {
            assert_eq!(parsed("7", "0", name).unwrap().images[0].file_name, "a/b.jpg", "{name}");
        }
    }
}
