//! The code of a traced function, taken apart.
//!
//! The tracer writes one statement `name = expression` per line, without branches and loops, and
//! [`outputs`](super::outputs) ends it with a dictionary.

/// A function of `image`.
#[derive(Debug, PartialEq)]
pub(crate) struct Code {
    /// Names and what they stand for, in the order of the code.
    pub(crate) statements: Vec<(String, Expression)>,
    /// Outputs by name.
    pub(crate) outputs: Vec<(String, Expression)>,
}

/// `slope * batch + rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) slope: i64,
    pub(crate) rest: i64,
}

/// What may stand behind `=` and in a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// An earlier statement's name, or `image`.
    Name(String),
    /// `CONSTANTS.c<index>`.
    Constant(usize),
    /// An integer, which may depend on the batch.
    Integer(Extent),
    Float(f64),
    Bool(bool),
    Text(String),
    None,
    List(Vec<Expression>),
    /// A function, what it is given in order, and what it is given by name.
    Call(String, Vec<Expression>, Vec<(String, Expression)>),
}

impl Code {
    /// Takes `code` apart.
    ///
    /// # Errors
    /// The place where something else stands.
    pub(crate) fn parse(code: &str) -> Result<Self, String> {
        let (_, body) = code.split_once("Dict[str, Tensor]:").ok_or("no function in the code")?;
        let mut reader = Reader { rest: body };
        let mut statements = Vec::new();
        loop {
            match reader.name()? {
                "return" => return Ok(Self { statements, outputs: reader.dictionary()? }),
                name => {
                    reader.expect("=")?;
                    statements.push((name.to_owned(), reader.expression()?));
                }
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn expression(&mut self) -> Result<Expression, String> {
        self.skip();
        match self.rest.bytes().next() {
            Some(b'[') => Ok(Expression::List(self.items("[", "]", Self::expression)?)),
            Some(b'"') => Ok(Expression::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.named(),
        }
    }

    /// What begins with a name.
    fn named(&mut self) -> Result<Expression, String> {
        let name = self.name()?;
        Ok(match name {
            "None" => Expression::None,
            "True" => Expression::Bool(true),
            "False" => Expression::Bool(false),
            "batch" => Expression::Integer(Extent { slope: 1, rest: self.rest_behind_batch()? }),
            _ if self.next("(") => self.call(name)?,
            _ => match name.strip_prefix("CONSTANTS.c").and_then(|index| index.parse().ok()) {
                Some(index) => Expression::Constant(index),
                None => Expression::Name(name.into()),
            },
        })
    }

    fn call(&mut self, function: &str) -> Result<Expression, String> {
        let argument = |reader: &mut Self| {
            let before = reader.rest;
            if let Ok(name) = reader.name()
                && reader.eat("=")
            {
                return Ok((Some(name.to_owned()), reader.expression()?));
            }
            reader.rest = before;
            Ok((None, reader.expression()?))
        };
        let (mut ordered, mut named) = (Vec::new(), Vec::new());
        for (name, value) in self.items("(", ")", argument)? {
            match name {
                Some(name) => named.push((name, value)),
                None => ordered.push(value),
            }
        }
        Ok(Expression::Call(function.into(), ordered, named))
    }

    fn number(&mut self) -> Result<Expression, String> {
        let in_number = |c: char| c.is_ascii_alphanumeric() || ".+-".contains(c);
        let end = self.rest.find(|c: char| !in_number(c)).unwrap_or(self.rest.len());
        let digits = &self.rest[..end];
        let wrong = || format!("expected a number, found `{}`", self.shown());
        let Ok(whole) = digits.parse::<i64>() else {
            let float = digits.parse().map_err(|_| wrong())?;
            self.rest = &self.rest[end..];
            return Ok(Expression::Float(float));
        };
        self.rest = &self.rest[end..];
        if !self.eat("*") {
            return Ok(Expression::Integer(Extent { slope: 0, rest: whole }));
        }
        self.expect("batch")?;
        Ok(Expression::Integer(Extent { slope: whole, rest: self.rest_behind_batch()? }))
    }

    fn rest_behind_batch(&mut self) -> Result<i64, String> {
        if !self.eat("+") {
            return Ok(0);
        }
        self.skip();
        match self.number()? {
            Expression::Integer(Extent { slope: 0, rest }) => Ok(rest),
            other => Err(format!("expected an integer behind `batch +`, found {other:?}")),
        }
    }

    fn dictionary(&mut self) -> Result<Vec<(String, Expression)>, String> {
        self.items("{", "}", |reader| {
            let key = reader.text()?;
            reader.expect(":")?;
            Ok((key, reader.expression()?))
        })
    }

    fn items<T>(
        &mut self,
        open: &str,
        close: &str,
        item: impl Fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.expect(open)?;
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(item(self)?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    /// Text in quotes; names of tasks and devices need no escapes.
    fn text(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let (text, rest) = self.rest.split_once('"').ok_or("text without an end")?;
        self.rest = rest;
        Ok(text.into())
    }

    fn name(&mut self) -> Result<&'a str, String> {
        self.skip();
        let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let end = self.rest.find(|c| !in_name(c)).unwrap_or(self.rest.len());
        if end == 0 || self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("expected a name, found `{}`", self.shown()));
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name)
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn next(&mut self, mark: &str) -> bool {
        self.skip();
        self.rest.starts_with(mark)
    }

    fn eat(&mut self, mark: &str) -> bool {
        let found = self.next(mark);
        if found {
            self.rest = &self.rest[mark.len()..];
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        match self.eat(mark) {
            true => Ok(()),
            false => Err(format!("expected `{mark}`, found `{}`", self.shown())),
        }
    }

    fn shown(&self) -> &'a str {
        self.rest.lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(slope: i64, rest: i64) -> Expression {
        Expression::Integer(Extent { slope, rest })
    }

    fn parse(line: &str) -> Result<Code, String> {
        let head =
            "  def forward(self: __torch__.Polyptych,\n    image: Tensor) -> Dict[str, Tensor]";
        Code::parse(&format!("{head}:\n    _0 = {line}\n    return {{\"sal\": _0}}\n"))
    }

    #[test]
    fn every_kind_of_expression_is_read() {
        let line = "torch.f(image, CONSTANTS.c12, [-1, 36 * batch, batch, 1 * batch + 3], 1.5e-05, \
                    True, None, [], dtype=6, device=torch.device(\"cpu\"))";
        let code = parse(line).unwrap();
        assert_eq!(code.outputs, [("sal".into(), Expression::Name("_0".into()))]);
        let list = vec![integer(0, -1), integer(36, 0), integer(1, 0), integer(1, 3)];
        let ordered = vec![
            Expression::Name("image".into()),
            Expression::Constant(12),
            Expression::List(list),
            Expression::Float(1.5e-5),
            Expression::Bool(true),
            Expression::None,
            Expression::List(Vec::new()),
        ];
        let device =
            Expression::Call("torch.device".into(), vec![Expression::Text("cpu".into())], vec![]);
        let named = vec![("dtype".into(), integer(0, 6)), ("device".into(), device)];
        let call = Expression::Call("torch.f".into(), ordered, named);
        assert_eq!(code.statements, [("_0".into(), call)]);
    }

    #[test]
    fn other_code_is_refused_by_its_place() {
        let refused = |line: &str| parse(line).unwrap_err();
        assert_eq!(refused("torch.f(image"), "expected `)`, found `return {\"sal\": _0}`");
        assert_eq!(refused("{1: 2}"), "expected a name, found `{1: 2}`");
        assert_eq!(refused("f(1x)"), "expected a number, found `1x)`");
        assert_eq!(refused("_1\n    _2, _3 = g(_1)"), "expected `=`, found `, _3 = g(_1)`");
        assert_eq!(Code::parse("def").unwrap_err(), "no function in the code");
    }
}
