//! Expressions from text.

use super::op::{Binary, Unary};
use super::{Condition, Expr, Graph};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// How many operations may wait for their operands: parentheses, functions, signs, powers of powers.
const DEEPEST: usize = 256;

/// How the names and numbers of a text are understood.
#[derive(Clone, Copy)]
enum Names<'a> {
    /// These names alone.
    Known(&'a [&'a str]),
    /// Any name is a variable.
    Any,
}

impl Graph {
    /// Reads an expression of the variables `names`.
    ///
    /// Numbers, `pi`, `+ - * / ^`, parentheses, `exp log sqrt abs sin cos tanh sigmoid softplus relu erf` of one argument,
    /// `pow` of two, `min` and `max` of two or more, and `select(condition, a, b)` with a condition such as `a < b`
    /// (`<`, `<=`, `>`, `>=`, `==`, `!=`). `-x^2` is `-(x^2)`, `2^3^2` is `2^(3^2)`; `×`, `÷` and `−` are read too.
    /// Definitions `name = expression` are separated by `;` or a new line; the last one is the result. A line goes on behind
    /// an operator, before one, and within parentheses.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place: an unknown name, a missing operand, a condition that is used as a number, a
    /// division by a constant 0, more than 256 levels of nesting.
    pub fn parse<'g>(&'g self, text: &str, names: &[&str]) -> Result<Expr<'g>> {
        Ok(self.parse_named(text, names)?.1)
    }

    /// [`Graph::parse`], and what the result is called, if it is.
    pub(crate) fn parse_named<'g>(&'g self, text: &str, names: &[&str]) -> Result<(Option<String>, Expr<'g>)> {
        Parser::new(self, text, Names::Known(names))?.definitions()
    }

    /// Reads an expression whose variables may bear any name, and what the result is called, if it is.
    ///
    /// # Errors
    /// Those of [`Graph::parse`], except for unknown names.
    pub fn parse_any<'g>(&'g self, text: &str) -> Result<(Option<String>, Expr<'g>)> {
        Parser::new(self, text, Names::Any)?.definitions()
    }
}

/// The names that a text uses, neither those of functions nor those that it defines, each once.
///
/// # Errors
/// [`Error::Expression`] where a character or a number cannot be read.
pub fn identifiers(text: &str) -> Result<Vec<String>> {
    let tokens = tokens(text)?;
    let mut names: Vec<String> = Vec::new();
    for (i, (token, _)) in tokens.iter().enumerate() {
        let defines = tokens.get(i + 1).is_some_and(|(next, _)| *next == Token::Symbol("="));
        if let Token::Name(name) = token
            && !defines
            && arity(name).is_none()
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// The text on one line, words one space apart: a new line that ends a definition becomes `;`.
pub(crate) fn one_line(text: &str) -> String {
    let ends: Vec<usize> = tokens(text).map_or(Vec::new(), |tokens| {
        tokens.into_iter().filter(|(token, _)| *token == Token::Symbol(";")).map(|(_, at)| at).collect()
    });
    let joined: String =
        text.char_indices().map(|(at, c)| if c == '\n' && ends.contains(&at) { ';' } else { c }).collect();
    joined.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ;", ";").replace(';', "; ").replace(";  ", "; ")
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Name(String),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [(&str, &str); 20] = [
    ("<=", "<="),
    (">=", ">="),
    ("==", "=="),
    ("!=", "!="),
    ("**", "^"),
    ("<", "<"),
    (">", ">"),
    ("=", "="),
    ("+", "+"),
    ("-", "-"),
    ("−", "-"),
    ("*", "*"),
    ("×", "*"),
    ("·", "*"),
    ("/", "/"),
    ("÷", "/"),
    ("^", "^"),
    ("(", "("),
    (")", ")"),
    (",", ","),
];

/// What waits for operands.
enum Waiting {
    /// Its symbol, for which the left operand is known.
    Infix(&'static str),
    /// A sign.
    Negate,
    /// An open parenthesis.
    Group,
    /// An open function with the number of operands that lay there before it.
    Call(String, usize),
}

/// An operand: a number or a condition, and where its text begins.
#[derive(Clone, Copy)]
struct Operand<'g> {
    value: Value<'g>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Value<'g> {
    Number(Expr<'g>),
    Condition(Condition<'g>),
}

/// Operator precedence with stacks of its own, so that no text is too deep for the program's.
struct Parser<'g, 't> {
    graph: &'g Graph,
    text: &'t str,
    names: Names<'t>,
    tokens: Vec<(Token, usize)>,
    next: usize,
    defined: Vec<(String, Expr<'g>)>,
    operands: Vec<Operand<'g>>,
    waiting: Vec<(Waiting, usize)>,
}

impl<'g, 't> Parser<'g, 't> {
    fn new(graph: &'g Graph, text: &'t str, names: Names<'t>) -> Result<Self> {
        let tokens = tokens(text)?;
        let (defined, operands, waiting) = Default::default();
        Ok(Parser { graph, text, names, tokens, next: 0, defined, operands, waiting })
    }

    fn error<T>(&self, at: usize, what: impl Into<String>) -> Result<T> {
        Err(error(self.text, at, what))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next].1
    }

    fn advance(&mut self) -> (Token, usize) {
        let token = self.tokens[self.next].clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    /// `name = expression`, one behind the other; the last one is the result.
    fn definitions(mut self) -> Result<(Option<String>, Expr<'g>)> {
        let mut last = None;
        loop {
            while *self.peek() == Token::Symbol(";") {
                self.advance();
            }
            if *self.peek() == Token::End {
                return match last {
                    Some(last) => Ok(last),
                    None => self.error(self.at(), "expected an expression, found nothing"),
                };
            }
            let begin = self.at();
            let name = self.defined_name()?;
            let value = self.expression()?;
            if name.is_none() && *self.peek() == Token::Symbol(";") && !self.ends() {
                return self.error(begin, "this is neither the result, which comes last, nor has it a name");
            }
            if let Some(name) = &name {
                self.defined.push((name.clone(), value));
                let mut state = self.graph.state.borrow_mut();
                state.labels.entry(value.id).or_insert_with(|| name.clone());
            }
            last = Some((name, value));
            if !matches!(self.peek(), Token::Symbol(";") | Token::End) {
                return self.error(self.at(), format!("expected an operator or the end, found {}", self.peek()));
            }
        }
    }

    /// Whether nothing but separators follows.
    fn ends(&self) -> bool {
        self.tokens[self.next..].iter().all(|(token, _)| matches!(token, Token::Symbol(";") | Token::End))
    }

    fn defined_name(&mut self) -> Result<Option<String>> {
        let (Token::Name(name), at) = self.tokens[self.next].clone() else { return Ok(None) };
        if self.tokens.get(self.next + 1).is_none_or(|(token, _)| *token != Token::Symbol("=")) {
            return Ok(None);
        }
        let known = match self.names {
            Names::Known(names) => names.contains(&name.as_str()),
            Names::Any => false,
        };
        if known || self.defined.iter().any(|(defined, _)| *defined == name) {
            return self.error(at, format!("{name:?} has a meaning already; choose another name"));
        }
        if name == "pi" || arity(&name).is_some() {
            return self.error(at, format!("{name:?} is built in; choose another name"));
        }
        self.advance();
        self.advance();
        Ok(Some(name))
    }

    fn expression(&mut self) -> Result<Expr<'g>> {
        loop {
            self.operand()?;
            // Behind an operand: operators, or the end of what is open.
            loop {
                match self.peek().clone() {
                    Token::Symbol(symbol) if precedence(symbol).is_some() => {
                        self.reduce(precedence(symbol).unwrap_or(0), symbol == "^")?;
                        let at = self.advance().1;
                        self.wait(Waiting::Infix(symbol), at)?;
                        break;
                    }
                    Token::Symbol(",") => {
                        self.reduce(0, false)?;
                        let at = self.advance().1;
                        match self.waiting.last() {
                            Some((Waiting::Call(..), _)) => break,
                            _ => return self.error(at, "a comma stands between the arguments of a function"),
                        }
                    }
                    Token::Symbol(")") => {
                        self.reduce(0, false)?;
                        let at = self.advance().1;
                        self.close(at)?;
                    }
                    _ => {
                        self.reduce(0, false)?;
                        return match self.waiting.pop() {
                            Some((Waiting::Group | Waiting::Call(..), open)) => {
                                let found = format!("found {}", self.peek());
                                self.error(open, format!("this parenthesis is never closed: expected \")\", {found}"))
                            }
                            _ => self.number("the result"),
                        };
                    }
                }
            }
        }
    }

    /// Signs, open parentheses and functions, then a number or a name.
    fn operand(&mut self) -> Result<()> {
        loop {
            let (token, at) = self.advance();
            match token {
                Token::Symbol("-") => self.wait(Waiting::Negate, at)?,
                Token::Symbol("+") => {}
                Token::Symbol("(") => self.wait(Waiting::Group, at)?,
                Token::Number(x) => return self.push(Value::Number(self.graph.constant(x)), at),
                Token::Name(name) if *self.peek() == Token::Symbol("(") => {
                    if arity(&name).is_none() {
                        let known = FUNCTIONS.iter().map(|(name, _)| *name);
                        let nearest = did_you_mean(&name, known.clone());
                        let known: Vec<_> = known.collect();
                        return self
                            .error(at, format!("unknown function {name:?}{nearest}; known: {}", known.join(", ")));
                    }
                    self.advance();
                    self.wait(Waiting::Call(name, self.operands.len()), at)?;
                    if *self.peek() == Token::Symbol(")") {
                        return self.error(self.at(), "expected an argument, found \")\"");
                    }
                }
                Token::Name(name) => {
                    let value = self.name(&name, at)?;
                    return self.push(Value::Number(value), at);
                }
                token => {
                    let behind = match self.waiting.last() {
                        Some((Waiting::Infix(symbol), _)) => format!(" behind {symbol:?}"),
                        Some((Waiting::Negate, _)) => " behind \"-\"".to_owned(),
                        _ => String::new(),
                    };
                    return self.error(at, format!("expected a number, a name or \"(\"{behind}, found {token}"));
                }
            }
        }
    }

    fn name(&self, name: &str, at: usize) -> Result<Expr<'g>> {
        if let Some((_, value)) = self.defined.iter().find(|(defined, _)| defined == name) {
            return Ok(*value);
        }
        match self.names {
            Names::Known(names) if names.contains(&name) => Ok(self.graph.variable(name)),
            _ if name == "pi" => Ok(self.graph.constant(std::f64::consts::PI)),
            _ if arity(name).is_some() => self.error(at, format!("{name:?} is a function; expected \"(\" behind it")),
            Names::Any => Ok(self.graph.variable(name)),
            Names::Known(names) => {
                let known = || names.iter().copied().chain(self.defined.iter().map(|(name, _)| name.as_str()));
                let nearest = did_you_mean(name, known());
                let known: Vec<_> = known().collect();
                self.error(at, format!("unknown name {name:?}{nearest}; known: {}", known.join(", ")))
            }
        }
    }

    fn push(&mut self, value: Value<'g>, at: usize) -> Result<()> {
        self.operands.push(Operand { value, at });
        Ok(())
    }

    fn wait(&mut self, waiting: Waiting, at: usize) -> Result<()> {
        if self.waiting.len() == DEEPEST {
            return self.error(at, format!("nested deeper than {DEEPEST} levels; define parts of it by names"));
        }
        self.waiting.push((waiting, at));
        Ok(())
    }

    /// Applies what waits and binds at least as tightly as `least`; more tightly where the operator groups from the right.
    fn reduce(&mut self, least: u8, from_the_right: bool) -> Result<()> {
        loop {
            let binds = match self.waiting.last() {
                Some((Waiting::Infix(symbol), _)) => precedence(symbol).unwrap_or(0),
                Some((Waiting::Negate, _)) => NEGATION,
                _ => return Ok(()),
            };
            if binds < least || from_the_right && binds == least {
                return Ok(());
            }
            match self.waiting.pop() {
                Some((Waiting::Infix(symbol), at)) => self.infix(symbol, at)?,
                _ => {
                    let at = self.operands.last().map_or(0, |operand| operand.at);
                    let x = self.number("what a sign stands before")?;
                    self.push(Value::Number(-x), at)?;
                }
            }
        }
    }

    fn infix(&mut self, symbol: &'static str, at: usize) -> Result<()> {
        let side = format!("an operand of {symbol:?}");
        let y = self.number(&side)?;
        let begin = self.operands.last().map_or(at, |operand| operand.at);
        let x = self.number(&side)?;
        let condition = |op| Value::Condition(Condition(op));
        let value = match symbol {
            "<" => condition(x.binary(Binary::Less, y)),
            "<=" => condition(x.binary(Binary::LessEqual, y)),
            ">" => condition(y.binary(Binary::Less, x)),
            ">=" => condition(y.binary(Binary::LessEqual, x)),
            "==" => condition(x.binary(Binary::Equal, y)),
            "!=" => condition(x.binary(Binary::NotEqual, y)),
            "+" => Value::Number(x + y),
            "-" => Value::Number(x - y),
            "*" => Value::Number(x * y),
            "/" if self.graph.number(y.id) == Some(0.0) => return self.error(at, "division by the constant 0"),
            "/" => Value::Number(x / y),
            _ => Value::Number(self.power(x, y)),
        };
        self.finish(value, begin, at)
    }

    /// `x^y`; a power by a whole number that stands there is an operation on `x` alone.
    fn power(&self, x: Expr<'g>, y: Expr<'g>) -> Expr<'g> {
        match self.graph.number(y.id) {
            Some(n) if n.fract() == 0.0 && n.abs() <= f64::from(super::MOST_MULTIPLIED) => x.powi(n as i32),
            _ => x.pow(y),
        }
    }

    /// Pushes what an operation at `at` gave, unless it is one on constants alone that gave no finite number.
    fn finish(&mut self, value: Value<'g>, begin: usize, at: usize) -> Result<()> {
        if let Value::Number(number) = value {
            let node = self.graph.node(number.id);
            let constant = |id| self.graph.number(id).is_some();
            if !self.graph.verbatim && node.operands().next().is_some() && node.operands().all(constant) {
                let state = self.graph.state.borrow();
                return self.error(at, format!("{} gives no finite number", self.graph.describe(node, &state.nodes)));
            }
        }
        self.push(value, begin)
    }

    /// Closes the innermost parenthesis or function.
    fn close(&mut self, at: usize) -> Result<()> {
        let (name, first, begin) = match self.waiting.pop() {
            Some((Waiting::Group, begin)) => {
                if let Some(operand) = self.operands.last_mut() {
                    operand.at = begin;
                }
                return Ok(());
            }
            Some((Waiting::Call(name, first), begin)) => (name, first, begin),
            _ => return self.error(at, "this \")\" closes nothing"),
        };
        let found = self.operands.len() - first;
        let expected = arity(&name).unwrap_or(Arity::Exactly(1));
        if !expected.allows(found) {
            return self.error(begin, format!("{name} takes {expected}, found {found}"));
        }
        if name == "select" {
            let (b, a) = (self.number("the third argument of select")?, self.number("the second argument of select")?);
            let operand = self.operands.pop();
            let Some(Operand { value: Value::Condition(condition), .. }) = operand else {
                let at = operand.map_or(begin, |operand| operand.at);
                return self.error(at, "the first argument of select is a condition, such as x < 1; found a number");
            };
            return self.finish(Value::Number(condition.select(a, b)), begin, begin);
        }
        let role = format!("an argument of {name}");
        let last = self.number(&role)?;
        let value = match Unary::CALLED.iter().find(|op| op.name() == name) {
            Some(&op) => last.unary(op),
            None => {
                let mut value = last;
                while self.operands.len() > first {
                    let x = self.number(&role)?;
                    value = match name.as_str() {
                        "min" => x.min(value),
                        "max" => x.max(value),
                        _ => self.power(x, value),
                    };
                }
                value
            }
        };
        self.finish(Value::Number(value), begin, begin)
    }

    /// The topmost operand, which has to be a number.
    fn number(&mut self, role: &str) -> Result<Expr<'g>> {
        match self.operands.pop() {
            Some(Operand { value: Value::Number(number), .. }) => Ok(number),
            Some(Operand { at, .. }) => {
                self.error(at, format!("{role} is a number; a condition can only be the first argument of select"))
            }
            None => self.error(self.at(), format!("{role} is missing")),
        }
    }
}

const NEGATION: u8 = 4;

fn precedence(symbol: &str) -> Option<u8> {
    match symbol {
        "<" | "<=" | ">" | ">=" | "==" | "!=" => Some(1),
        "+" | "-" => Some(2),
        "*" | "/" => Some(3),
        "^" => Some(5),
        _ => None,
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy)]
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

impl Arity {
    fn allows(self, found: usize) -> bool {
        match self {
            Arity::Exactly(n) => found == n,
            Arity::AtLeast(n) => found >= n,
        }
    }
}

impl std::fmt::Display for Arity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arity::Exactly(1) => f.write_str("1 argument"),
            Arity::Exactly(n) => write!(f, "{n} arguments"),
            Arity::AtLeast(n) => write!(f, "at least {n} arguments"),
        }
    }
}

const FUNCTIONS: [(&str, Arity); 15] = [
    ("exp", Arity::Exactly(1)),
    ("log", Arity::Exactly(1)),
    ("sqrt", Arity::Exactly(1)),
    ("abs", Arity::Exactly(1)),
    ("sin", Arity::Exactly(1)),
    ("cos", Arity::Exactly(1)),
    ("tanh", Arity::Exactly(1)),
    ("sigmoid", Arity::Exactly(1)),
    ("softplus", Arity::Exactly(1)),
    ("relu", Arity::Exactly(1)),
    ("erf", Arity::Exactly(1)),
    ("pow", Arity::Exactly(2)),
    ("min", Arity::AtLeast(2)),
    ("max", Arity::AtLeast(2)),
    ("select", Arity::Exactly(3)),
];

fn arity(name: &str) -> Option<Arity> {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, arity)| *arity)
}

/// The text with the places, in characters, where its tokens begin.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let place = |rest: &str| text.len() - rest.len();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let at = place(rest);
        let Some(first) = rest.chars().next() else {
            tokens.push((Token::End, at));
            return Ok(joined(tokens));
        };
        let (token, len) = if first == '\n' {
            (Token::Symbol("\n"), 1)
        } else if first == ';' {
            (Token::Symbol(";"), 1)
        } else if first.is_ascii_digit() || first == '.' {
            number(text, rest, at)?
        } else if first.is_alphabetic() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'').unwrap_or(rest.len());
            (Token::Name(rest[..len].to_owned()), len)
        } else if let Some((symbol, meaning)) = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            (Token::Symbol(meaning), symbol.len())
        } else {
            return Err(error(text, at, format!("unexpected character {first:?}")));
        };
        tokens.push((token, at));
        rest = &rest[len..];
    }
}

/// New lines end a definition unless it goes on behind them: within parentheses, behind an operator or before one.
fn joined(tokens: Vec<(Token, usize)>) -> Vec<(Token, usize)> {
    let mut open = 0usize;
    let mut all: Vec<(Token, usize)> = Vec::with_capacity(tokens.len());
    for (i, (token, at)) in tokens.iter().enumerate() {
        match token {
            Token::Symbol("(") => open += 1,
            Token::Symbol(")") => open = open.saturating_sub(1),
            Token::Symbol("\n") => {
                let ends = |token: &Token| matches!(token, Token::Number(_) | Token::Name(_) | Token::Symbol(")"));
                let next = tokens[i..].iter().map(|(token, _)| token).find(|token| **token != Token::Symbol("\n"));
                let begins = matches!(next, Some(Token::Number(_) | Token::Name(_) | Token::Symbol("(")));
                if open == 0 && begins && all.last().is_some_and(|(token, _)| ends(token)) {
                    all.push((Token::Symbol(";"), *at));
                }
                continue;
            }
            _ => {}
        }
        all.push((token.clone(), *at));
    }
    all
}

/// `12`, `.5`, `1e-3`: the token and its length.
fn number(text: &str, rest: &str, at: usize) -> Result<(Token, usize)> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut len = digits(rest);
    if rest[len..].starts_with('.') {
        len += 1 + digits(&rest[len + 1..]);
    }
    if rest[len..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[len + 1..].starts_with(['+', '-']));
        let exponent = digits(&rest[len + 1 + sign..]);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let written = &rest[..len];
    let number = written.parse::<f64>().ok().filter(|x| (*x as f32).is_finite());
    match (number, rest[len..].chars().next()) {
        (_, Some(c)) if c.is_alphabetic() || c == '.' => {
            Err(error(text, at, format!("a number ends before {c:?}; write a product as {written} * …")))
        }
        (Some(x), _) => Ok((Token::Number(x), len)),
        (None, _) => Err(error(text, at, format!("{written} is not a finite 32-bit number"))),
    }
}

/// The error for what stands at a byte of the text.
fn error(text: &str, at: usize, what: impl Into<String>) -> Error {
    let before = &text[..at.min(text.len())];
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    Error::Expression {
        text: text[line..].lines().next().unwrap_or_default().to_owned(),
        column: before[line..].chars().count() + 1,
        what: what.into(),
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Number(x) => write!(f, "{x}"),
            Token::Name(name) => write!(f, "{name:?}"),
            Token::Symbol(";") | Token::End => f.write_str("the end"),
            Token::Symbol(symbol) => write!(f, "{symbol:?}"),
        }
    }
}
