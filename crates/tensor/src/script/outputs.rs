//! Several outputs through a tracer that allows one.

use tch::Tensor;

/// All outputs as one tensor, in a form that [`named`] takes apart again: `[batch, ..]` each.
pub(super) fn joined(outputs: &[Tensor]) -> Tensor {
    let rows: Vec<Tensor> = outputs.iter().map(|output| output.flatten(1, -1)).collect();
    Tensor::cat(&rows, 1)
}

/// The code of a trace that ends with [`joined`], with a dictionary by `names` instead.
pub(super) fn named(code: &str, names: &[String]) -> Result<String, String> {
    let unknown = || "an end of the traced code that is not understood".to_owned();
    let (body, list) = code.trim_end().rsplit_once("return torch.cat(").ok_or_else(unknown)?;
    let list = list.strip_suffix(", 1)").ok_or_else(unknown)?;
    let (body, list) = match list.starts_with('[') {
        true => (body.to_owned(), list.to_owned()),
        false => without_line(body, list).ok_or_else(unknown)?,
    };
    let items = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    let items = split(items.ok_or_else(unknown)?);
    if items.len() != names.len() {
        return Err(format!("{} outputs for {} names", items.len(), names.len()));
    }
    let entry = |(name, item): (&String, &str)| {
        let output = item.strip_prefix("torch.flatten(")?.strip_suffix(", 1)")?;
        Some(format!("{name:?}: {output}"))
    };
    let entries: Option<Vec<String>> = names.iter().zip(items).map(entry).collect();
    let entries = entries.ok_or_else(unknown)?.join(", ");
    let typed = body.replacen(") -> Tensor:", ") -> Dict[str, Tensor]:", 1);
    Ok(format!("{typed}return {{{entries}}}\n"))
}

/// `body` without the line that gives `variable` its value, and that value.
fn without_line(body: &str, variable: &str) -> Option<(String, String)> {
    let start = format!("    {variable} = ");
    let line = body.lines().find(|line| line.starts_with(&start))?;
    Some((body.replacen(&format!("{line}\n"), "", 1), line[start.len()..].to_owned()))
}

/// The parts of `list` between commas that stand in no bracket.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_joined_outputs_are_taken_apart() {
        let names = ["a".to_owned(), "b".to_owned()];
        let head = "  def forward(image: Tensor) -> Tensor:\n";
        let list = "[torch.flatten(torch.add(_1, [2, 3]), 1), torch.flatten(_2, 1)]";
        let code = format!("{head}    _3 = {list}\n    return torch.cat(_3, 1)\n");
        let expected = "  def forward(image: Tensor) -> Dict[str, Tensor]:\n    \
                        return {\"a\": torch.add(_1, [2, 3]), \"b\": _2}\n";
        assert_eq!(named(&code, &names).unwrap(), expected);
        let inline = format!("{head}    return torch.cat({list}, 1)\n");
        assert_eq!(named(&inline, &names).unwrap(), expected);
        assert_eq!(named(&code, &names[..1]).unwrap_err(), "2 outputs for 1 names");
        assert!(named("    return _1\n", &names).is_err());
    }
}
