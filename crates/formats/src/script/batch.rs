//! Code of two traces as code for any batch.

/// What the tracer calls the input.
const TRACED: &str = "argument_1";
/// What the file calls it.
const INPUT: &str = "image";
const BATCH: &str = "batch";

/// The code of a trace of 2 images, `two`, with every number that is another one in `three`, of 3
/// images, as an expression of the batch.
pub(super) fn free(two: &str, three: &str) -> Result<String, String> {
    let (tokens, others) = (tokens(two), tokens(three));
    if tokens.len() != others.len() {
        return Err("other operations for 3 images than for 2".into());
    }
    let mut code = String::new();
    for (token, other) in tokens.into_iter().zip(others) {
        match token == other {
            true => code.push_str(token),
            false => code.push_str(&expression(token, other, &code)?),
        }
    }
    let code = code.replace(TRACED, INPUT);
    let start = code.find(":\n    _").or_else(|| code.find(":\n    return"));
    let at = start.ok_or("no statement in the traced code")? + 2;
    let size = format!("    {BATCH} = torch.size({INPUT}, 0)\n");
    Ok(format!("{}{size}{}", &code[..at], &code[at..]))
}

/// `k * batch + c`, which is `two` for a batch of 2 and `three` for one of 3.
fn expression(two: &str, three: &str, before: &str) -> Result<String, String> {
    let differ = || format!("`{two}` for 2 images and `{three}` for 3 behind `{}`", last(before));
    let number = |text: &str| text.parse::<i64>().map_err(|_| differ());
    let (two, three) = (number(two)?, number(three)?);
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    if before.ends_with(in_name) {
        return Err(differ());
    }
    let slope = three - two;
    Ok(match two - 2 * slope {
        0 if slope == 1 => BATCH.into(),
        0 => format!("{slope} * {BATCH}"),
        rest => format!("{slope} * {BATCH} + {rest}"),
    })
}

fn last(before: &str) -> &str {
    before.lines().last().unwrap_or_default()
}

/// Runs of digits, and what stands between them.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.bytes().next() {
        let digits = first.is_ascii_digit();
        let end = rest.bytes().position(|byte| byte.is_ascii_digit() != digits);
        let (token, behind) = rest.split_at(end.unwrap_or(rest.len()));
        tokens.push(token);
        rest = behind;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  def forward(argument_1: Tensor) -> Tensor:\n";

    #[test]
    fn numbers_that_grow_with_the_batch_become_expressions() {
        let code = |sizes: &str| format!("{HEAD}    _0 = torch.view(argument_1, {sizes})\n");
        let free = free(&code("[32, 2, 5, 2]"), &code("[48, 3, 6, 2]")).unwrap();
        let expected = "    batch = torch.size(image, 0)\n    \
                        _0 = torch.view(image, [16 * batch, batch, 1 * batch + 3, 2])\n";
        assert_eq!(free, format!("{}{expected}", HEAD.replace("argument_1", "image")));
    }

    #[test]
    fn other_differences_are_named() {
        let code = |line: &str| format!("{HEAD}    _0 = {line}\n");
        let refused = |two: &str, three: &str| free(&code(two), &code(three)).unwrap_err();
        assert_eq!(refused("f(2)", "f(2, 3)"), "other operations for 3 images than for 2");
        let message = refused("f(CONSTANTS.c2)", "f(CONSTANTS.c3)");
        assert_eq!(message, "`2` for 2 images and `3` for 3 behind `    _0 = f(CONSTANTS.c`");
        let message = refused("f(2)", "g(2)");
        assert_eq!(message, "` = f(` for 2 images and ` = g(` for 3 behind `    _0`");
    }
}
