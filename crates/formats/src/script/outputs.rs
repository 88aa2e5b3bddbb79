//! Several outputs through a tracer that allows one.

use tch::Tensor;

/// All outputs as one tensor, in a form that [`named`] takes apart again: `[batch, ..]` each.
pub(super) fn joined(outputs: &[Tensor]) -> Tensor {
    let rows: Vec<Tensor> = outputs.iter().map(|output| output.flatten(1, -1)).collect();
    Tensor::cat(&rows, 1)
}

/// The code of a trace that ends with [`joined`], with a dictionary by `names` instead.
pub(super) fn named(code: &str, names: &[String]) -> Result<String, String> {
    let end = code.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev();
    let end = end.map(str::trim).collect::<Vec<_>>().join("; ");
    let unknown = || format!("expected an end of outputs side by side, found `{end}`");
    let (body, output) = code.trim_end().rsplit_once("return ").ok_or_else(unknown)?;
    let mut body = body.to_owned();
    let joined = value(&mut body, output);
    let list = joined.strip_prefix("torch.cat(").and_then(|list| list.strip_suffix(", 1)"));
    let list = value(&mut body, list.ok_or_else(unknown)?);
    let items = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    let items = split(items.ok_or_else(unknown)?);
    if items.len() != names.len() {
        return Err(format!("{} outputs for {} names", items.len(), names.len()));
    }
    let mut entries = Vec::new();
    for (name, item) in names.iter().zip(items) {
        let item = value(&mut body, item);
        let inner = item.strip_prefix("torch.flatten(").and_then(|rest| rest.strip_suffix(')'));
        let inner = split(inner.ok_or_else(unknown)?);
        let (output, ["1"] | ["1", "-1"]) = (inner[0], &inner[1..]) else { return Err(unknown()) };
        entries.push(format!("{name:?}: {output}"));
    }
    let typed = body.replacen(") -> Tensor:", ") -> Dict[str, Tensor]:", 1);
    Ok(format!("{typed}return {{{}}}\n", entries.join(", ")))
}

/// What `expression` stands for: the value of a variable, whose line `body` loses, or itself.
fn value(body: &mut String, expression: &str) -> String {
    let start = format!("    {expression} = ");
    let Some(line) = body.lines().find(|line| line.starts_with(&start)).map(str::to_owned) else {
        return expression.to_owned();
    };
    *body = body.replacen(&format!("{line}\n"), "", 1);
    line[start.len()..].to_owned()
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
        let lines = format!(
            "{head}    _4 = torch.flatten(_2, 1, -1)\n    \
             _3 = [torch.flatten(torch.add(_1, [2, 3]), 1), _4]\n    return torch.cat(_3, 1)\n"
        );
        assert_eq!(named(&lines, &names).unwrap(), expected);
        let variable = format!("{head}    _5 = torch.cat({list}, 1)\n    return _5\n");
        assert_eq!(named(&variable, &names).unwrap(), expected);
        assert_eq!(named(&code, &names[..1]).unwrap_err(), "2 outputs for 1 names");
        let message = named("    _1 = _0\n    return _1\n", &names).unwrap_err();
        let expected = "expected an end of outputs side by side, found `_1 = _0; return _1`";
        assert_eq!(message, expected);
    }
}
