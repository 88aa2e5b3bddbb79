//! Names of shards in braces, as WebDataset writes them: `a-{000..012}.tar`, `{train,extra}.tar`.

/// Most names that one pattern stands for.
const MOST: usize = 1_000_000;

/// Every name that `pattern` stands for, in order: ranges keep their leading zeros.
///
/// # Errors
/// What a pattern should be.
pub(crate) fn expanded(pattern: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.to_owned()]) };
    let (inside, after) = rest.split_once('}').ok_or("a closing } for every {")?;
    let words = words(inside)?;
    let tails = expanded(after)?;
    if words.len().saturating_mul(tails.len()) > MOST {
        return Err(format!("at most {MOST} files"));
    }
    let join = |word: &String| {
        tails.iter().map(|tail| format!("{before}{word}{tail}")).collect::<Vec<_>>()
    };
    Ok(words.iter().flat_map(join).collect())
}

fn words(inside: &str) -> Result<Vec<String>, String> {
    let Some((from, to)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let wrong = || format!("a range such as {{000..012}}, not {{{inside}}}");
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
    let (first, last) = (number(from)?, number(to)?);
    match last.checked_sub(first) {
        Some(more) if more < MOST => {
            let width = from.len();
            Ok((first..=last).map(|number| format!("{number:0width$}")).collect())
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::expanded;

    #[test]
    fn ranges_and_lists_are_expanded() {
        assert_eq!(expanded("a.tar").unwrap(), ["a.tar"]);
        assert_eq!(expanded("a-{08..10}.tar").unwrap(), ["a-08.tar", "a-09.tar", "a-10.tar"]);
        let both = ["x/1-a", "x/1-b", "x/2-a", "x/2-b"];
        assert_eq!(expanded("x/{1..2}-{a,b}").unwrap(), both);
        for wrong in ["a{1..x}", "a{3..1}", "a{0..99999999}", "{0..999999}{0..9}"] {
            assert!(expanded(wrong).is_err(), "{wrong}");
        }
        assert_eq!(expanded("a{1").unwrap_err(), "a closing } for every {");
    }
}
