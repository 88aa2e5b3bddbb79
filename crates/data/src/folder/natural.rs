//! The order of names in which `2` comes before `10`.
//!
//! It is that of timm's image folders, so that classes get the same indices there and here:
//! lower case, runs of digits as numbers. Names that are equal so far go by their characters.

use std::cmp::Ordering;

/// Texts without digits, each with the number after it: its length without leading zeros first,
/// because numbers may have more digits than any integer type holds.
type Key = Vec<(String, Option<(usize, String)>)>;

/// Compares two names.
pub(crate) fn order(left: &str, right: &str) -> Ordering {
    key(left).cmp(&key(right)).then_with(|| left.cmp(right))
}

fn key(name: &str) -> Key {
    let name = name.to_lowercase();
    let mut rest = name.as_str();
    let mut key = Key::new();
    loop {
        let (text, tail) = split(rest, |c| c.is_ascii_digit());
        let (digits, tail) = split(tail, |c| !c.is_ascii_digit());
        let number = digits.trim_start_matches('0');
        let number = (!digits.is_empty()).then(|| (number.len(), number.to_owned()));
        key.push((text.to_owned(), number));
        if tail.is_empty() && digits.is_empty() {
            return key;
        }
        rest = tail;
    }
}

/// What comes before the first character that `ends`, and the rest.
fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&'static str]) -> Vec<&'static str> {
        let mut names = names.to_vec();
        names.sort_by(|a, b| order(a, b));
        names
    }

    #[test]
    fn numbers_count_as_numbers() {
        assert_eq!(sorted(&["10", "2", "1", "100"]), ["1", "2", "10", "100"]);
        assert_eq!(
            sorted(&["a10b", "a2c", "a2b1", "a2b", "a"]),
            ["a", "a2b", "a2b1", "a2c", "a10b"]
        );
        assert_eq!(
            sorted(&["727-200", "707-320", "A330-300", "A300B4", "An-12", "Boeing 717"]),
            ["707-320", "727-200", "A300B4", "A330-300", "An-12", "Boeing 717"]
        );
    }

    #[test]
    fn case_and_zeros_only_break_ties() {
        assert_eq!(sorted(&["b", "B", "a", "C"]), ["a", "B", "b", "C"]);
        assert_eq!(sorted(&["2", "01", "1", "003"]), ["01", "1", "2", "003"]);
        let long = "99999999999999999999999999";
        assert_eq!(
            sorted(&["100000000000000000000000000", long]),
            [long, "100000000000000000000000000"]
        );
    }
}
