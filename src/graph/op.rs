//! The operations that a graph is made of, each in every arithmetic that a graph is computed in.

use super::program::Id;
use crate::activation::Activation;
use crate::compare::{FUNCTION_ROUNDOFF, UNIT_ROUNDOFF, product_error};
use crate::real::Real;
use crate::reference::number::{Bounded, Number};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`
    Negate,
    /// `xⁿ` for an integer, by repeated squaring; `1 / x⁻ⁿ` where `n < 0`.
    Power(i32),
    /// `exp x`
    Exp,
    /// The natural logarithm; NaN where `x < 0`.
    Log,
    /// `√x`; NaN where `x < 0`.
    Sqrt,
    /// `|x|`; the derivative at 0 is 0.
    Abs,
    /// `sin x`
    Sin,
    /// `cos x`
    Cos,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp x)`
    Softplus,
    /// `max(x, 0)`; the derivative at 0 is 0.
    Relu,
    /// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
    Erf,
}

/// A function of two numbers. The result of a comparison is a condition, for [`Node::Select`] alone: 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `x + y`
    Add,
    /// `x - y`
    Subtract,
    /// `x y`
    Multiply,
    /// `x / y`
    Divide,
    /// `x^y`, like C's `pow`: NaN where `x < 0` and `y` is no integer.
    Power,
    /// The smaller one; NaN if either is. Where both are equal, each has half of the derivative.
    Min,
    /// The larger one; NaN if either is. Where both are equal, each has half of the derivative.
    Max,
    /// `x < y`
    Less,
    /// `x ≤ y`
    LessEqual,
    /// `x = y`
    Equal,
    /// `x ≠ y`
    NotEqual,
}

/// A node of a graph: an operation and the nodes that it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// An input, by its place among the names.
    Variable(usize),
    /// A number, by the bits of its `f64`.
    Constant(u64),
    /// A function of one number.
    Unary(Unary, Id),
    /// A function of two numbers.
    Binary(Binary, Id, Id),
    /// `select(condition, a, b)`: `a` where the condition holds, else `b`.
    Select(Id, Id, Id),
}

impl Node {
    /// The nodes that this one is computed from.
    pub fn operands(&self) -> impl Iterator<Item = Id> + use<> {
        let operands = match *self {
            Node::Variable(_) | Node::Constant(_) => [None; 3],
            Node::Unary(_, x) => [Some(x), None, None],
            Node::Binary(_, x, y) => [Some(x), Some(y), None],
            Node::Select(condition, a, b) => [Some(condition), Some(a), Some(b)],
        };
        operands.into_iter().flatten()
    }

    /// The same operation on the operands' images under `map`.
    pub(super) fn map(self, mut map: impl FnMut(Id) -> Id) -> Node {
        match self {
            Node::Variable(_) | Node::Constant(_) => self,
            Node::Unary(op, x) => Node::Unary(op, map(x)),
            Node::Binary(op, x, y) => Node::Binary(op, map(x), map(y)),
            Node::Select(condition, a, b) => Node::Select(map(condition), map(a), map(b)),
        }
    }
}

impl Unary {
    /// The functions that text may call by [`Unary::name`].
    pub(crate) const CALLED: [Unary; 11] = [
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Abs,
        Unary::Sin,
        Unary::Cos,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Softplus,
        Unary::Relu,
        Unary::Erf,
    ];

    /// What it is called in text and in pictures.
    pub fn name(self) -> String {
        match self {
            Unary::Negate => "-".to_owned(),
            Unary::Power(n) => format!("^{n}"),
            Unary::Exp => "exp".to_owned(),
            Unary::Log => "log".to_owned(),
            Unary::Sqrt => "sqrt".to_owned(),
            Unary::Abs => "abs".to_owned(),
            Unary::Sin => "sin".to_owned(),
            Unary::Cos => "cos".to_owned(),
            Unary::Tanh => "tanh".to_owned(),
            Unary::Sigmoid => "sigmoid".to_owned(),
            Unary::Softplus => "softplus".to_owned(),
            Unary::Relu => "relu".to_owned(),
            Unary::Erf => "erf".to_owned(),
        }
    }

    #[inline(always)]
    pub(super) fn value<T: Real>(self, x: T) -> T {
        match self {
            Unary::Negate => -x,
            Unary::Power(n) => power(x, n),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Abs => x.abs(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => Activation::Sigmoid.value(x),
            Unary::Softplus => Activation::Softplus.value(x),
            Unary::Relu => Activation::Relu.value(x),
            Unary::Erf => x.erf(),
        }
    }
}

impl Binary {
    /// All that give a number.
    pub(crate) const ARITHMETIC: [Binary; 7] =
        [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Power, Binary::Min, Binary::Max];

    /// All that give a condition.
    pub(crate) const COMPARISONS: [Binary; 4] = [Binary::Less, Binary::LessEqual, Binary::Equal, Binary::NotEqual];

    /// Whether the result is a condition.
    pub fn is_comparison(self) -> bool {
        matches!(self, Binary::Less | Binary::LessEqual | Binary::Equal | Binary::NotEqual)
    }

    /// Whether exchanging the operands changes nothing.
    pub(super) fn is_commutative(self) -> bool {
        use Binary::{Add, Equal, Max, Min, Multiply, NotEqual};
        matches!(self, Add | Multiply | Min | Max | Equal | NotEqual)
    }

    /// What it is called in text and in pictures.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Power => "^",
            Binary::Min => "min",
            Binary::Max => "max",
            Binary::Less => "<",
            Binary::LessEqual => "<=",
            Binary::Equal => "==",
            Binary::NotEqual => "!=",
        }
    }

    #[inline(always)]
    pub(super) fn value<T: Real>(self, x: T, y: T) -> T {
        let condition = |holds| if holds { T::one() } else { T::zero() };
        match self {
            Binary::Add => x + y,
            Binary::Subtract => x - y,
            Binary::Multiply => x * y,
            Binary::Divide => x / y,
            Binary::Power => x.powf(y),
            // Written so that NaN stays.
            Binary::Min => {
                if x < y || is_nan(x) {
                    x
                } else {
                    y
                }
            }
            Binary::Max => {
                if x > y || is_nan(x) {
                    x
                } else {
                    y
                }
            }
            Binary::Less => condition(x < y),
            Binary::LessEqual => condition(x <= y),
            Binary::Equal => condition(x == y),
            Binary::NotEqual => condition(x != y),
        }
    }
}

#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn is_nan<T: Real>(x: T) -> bool {
    x != x
}

/// `xⁿ` by repeated squaring, in the order in which the shader multiplies.
#[inline(always)]
fn power<T: Real>(x: T, n: i32) -> T {
    let (mut result, mut square, mut rest) = (T::one(), x, n.unsigned_abs());
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        rest >>= 1;
        if rest > 0 {
            square *= square;
        }
    }
    if n < 0 { T::one() / result } else { result }
}

/// Numbers that a graph can be computed in.
pub(crate) trait Arithmetic: Copy {
    /// A number of the expression's text.
    fn constant(x: f64) -> Self;
    /// `op(x)`
    fn unary(op: Unary, x: Self) -> Self;
    /// `op(x, y)`
    fn binary(op: Binary, x: Self, y: Self) -> Self;
    /// `a` where the condition holds, else `b`.
    fn select(condition: Self, a: Self, b: Self) -> Self;
}

impl<T: Real> Arithmetic for T {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        T::of(x)
    }

    #[inline(always)]
    fn unary(op: Unary, x: Self) -> Self {
        op.value(x)
    }

    #[inline(always)]
    fn binary(op: Binary, x: Self, y: Self) -> Self {
        op.value(x, y)
    }

    #[inline(always)]
    fn select(condition: Self, a: Self, b: Self) -> Self {
        if condition == T::zero() { b } else { a }
    }
}

/// The running error analysis of [`Bounded`]. A comparison whose operands may lie in either order has the error 1, and a
/// selection by it may be either operand.
impl Arithmetic for Bounded {
    fn constant(x: f64) -> Self {
        // The text's number is rounded to f32.
        Bounded { value: x, error: if x == f64::from(x as f32) { 0.0 } else { product_error(x) } }
    }

    fn unary(op: Unary, x: Self) -> Self {
        match op {
            Unary::Negate => Bounded { value: -x.value, ..x },
            Unary::Abs => Bounded { value: x.value.abs(), ..x },
            Unary::Relu => Bounded { value: x.value.max(0.0), ..x },
            Unary::Power(n) => {
                let value = power(x.value, n);
                let moved = [x.value - x.error, x.value + x.error].map(|x| (power(x, n) - value).abs());
                let arriving = moved[0].max(moved[1]);
                // Where a negative power's base may be 0 there is no bound.
                let arriving = if n < 0 && x.error >= x.value.abs() { f64::INFINITY } else { arriving };
                // A product for each factor, and a division.
                let rounding = f64::from(n.unsigned_abs() + 5) * product_error(value.abs() + arriving);
                Bounded { value, error: arriving + rounding }
            }
            Unary::Sqrt => {
                let value = x.value.sqrt();
                let moved = [x.value - x.error, x.value + x.error].map(|x| (x.max(0.0).sqrt() - value).abs());
                // WGSL derives it from the inverse square root, which errs by 2 ulp.
                Bounded { value, error: moved[0].max(moved[1]) + 8.0 * UNIT_ROUNDOFF * value.abs() }
            }
            Unary::Sin | Unary::Cos => {
                let value = op.value(x.value);
                // An argument may lie beyond an extremum, where moving it by its error says too little. No slope within reach
                // exceeds 1, nor the slope here by more than the reach.
                let reach = x.error + FUNCTION_ROUNDOFF * x.value.abs();
                let slope = if op == Unary::Sin { x.value.cos() } else { x.value.sin() };
                let arriving = (reach * (slope.abs() + reach).min(1.0)).min(2.0);
                Bounded { value, error: arriving + FUNCTION_ROUNDOFF * (1.0 + value.abs()) }
            }
            _ => Bounded::function(|[x]| op.value(x), [x]),
        }
    }

    fn binary(op: Binary, x: Self, y: Self) -> Self {
        let arriving = x.error + y.error;
        let value = op.value(x.value, y.value);
        match op {
            Binary::Add | Binary::Subtract => {
                Bounded { value, error: arriving + product_error(value.abs() + arriving) }
            }
            Binary::Multiply => x * y,
            Binary::Divide => {
                let least = y.value.abs() - y.error;
                let moved = (x.error + value.abs() * y.error) / least.max(0.0);
                Bounded { value, error: if arriving == 0.0 { 0.0 } else { moved } + 5.0 * product_error(value) }
            }
            Binary::Power => {
                // Monotone in both arguments, so the extremes lie at the corners of where they may be.
                let reach = |x: Self| x.error + FUNCTION_ROUNDOFF * x.value.abs();
                let ends = |x: Self| [x.value - reach(x), x.value + reach(x)];
                let corners = ends(x).into_iter().flat_map(|x| ends(y).map(|y| (op.value(x, y) - value).abs()));
                // A NaN, beyond the end of the domain, is no bound.
                let moved = corners.fold(0.0, |most, d| if d.is_nan() { f64::INFINITY } else { d.max(most) });
                Bounded { value, error: moved + FUNCTION_ROUNDOFF * (1.0 + value.abs()) }
            }
            Binary::Min | Binary::Max => Bounded { value, error: x.error.max(y.error) },
            Binary::Less | Binary::LessEqual | Binary::Equal | Binary::NotEqual => {
                let certain = (x.value - y.value).abs() > arriving || arriving == 0.0;
                Bounded { value, error: f64::from(!certain) }
            }
        }
    }

    fn select(condition: Self, a: Self, b: Self) -> Self {
        let (taken, other) = if condition.value == 0.0 { (b, a) } else { (a, b) };
        if condition.error == 0.0 {
            return taken;
        }
        let distance = (other.value - taken.value).abs() + other.error;
        // No number bounds a branch that may be taken and has none.
        Bounded { value: taken.value, error: if distance.is_nan() { f64::INFINITY } else { taken.error.max(distance) } }
    }
}
