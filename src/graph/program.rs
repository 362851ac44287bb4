//! A graph cut out of its [`Graph`](super::Graph): plain data that can be kept, sent and computed.

use super::op::{Arithmetic, Binary, Node, Unary};
use crate::real::Real;
use crate::{Error, Result};
use std::cell::RefCell;
use std::cmp::Ordering;

/// The place of a node among the nodes of its graph. Operands have lower ones than what is computed from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    pub(super) fn at(place: usize) -> Id {
        Id(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Elements that are computed together: each operation is one loop over so many.
const BLOCK: usize = 128;

/// Named inputs and the expressions that are computed from them, without anything that those do not need.
///
/// ```
/// use wgrad::graph::Graph;
/// let graph = Graph::new();
/// let [x, y] = graph.variables(["x", "y"]);
/// let z = (x + y).powi(2);
/// let slope = graph.function(&["x", "y"], &[z, z.backward().of(x)])?;
/// assert_eq!(slope.eval(&[3.0, 4.0]), [49.0, 14.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    pub(super) inputs: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) outputs: Vec<Id>,
}

impl Function {
    /// What the inputs are called, in order.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Every node, operands before what is computed from them.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that are put out.
    pub fn outputs(&self) -> &[Id] {
        &self.outputs
    }

    /// Whether the outputs depend on the input of this name.
    pub fn uses(&self, input: &str) -> bool {
        self.inputs.iter().position(|name| name == input).is_some_and(|i| self.nodes.contains(&Node::Variable(i)))
    }

    /// The same function with some of its outputs alone, and the nodes that those need.
    pub(crate) fn only(&self, outputs: std::ops::Range<usize>) -> Function {
        let outputs = self.outputs.get(outputs).unwrap_or_default();
        let mut needed = vec![false; self.nodes.len()];
        outputs.iter().for_each(|output| needed[output.index()] = true);
        for place in (0..needed.len()).rev() {
            if needed[place] {
                self.nodes[place].operands().for_each(|id| needed[id.index()] = true);
            }
        }
        let mut places = vec![Id::at(0); self.nodes.len()];
        let mut nodes = Vec::new();
        for (place, node) in self.nodes.iter().enumerate().filter(|(place, _)| needed[*place]) {
            places[place] = Id::at(nodes.len());
            nodes.push(node.map(|id| places[id.index()]));
        }
        let outputs = outputs.iter().map(|output| places[output.index()]).collect();
        Function { inputs: self.inputs.clone(), nodes, outputs }
    }

    /// The same function with other constants.
    #[cfg(feature = "onnx")]
    pub(crate) fn with_constants(&self, map: impl Fn(f64) -> f64) -> Function {
        let constant = |node: &Node| match *node {
            Node::Constant(bits) => Node::Constant(map(f64::from_bits(bits)).to_bits()),
            node => node,
        };
        Function { nodes: self.nodes.iter().map(constant).collect(), ..self.clone() }
    }

    /// Whether every derivative of every order is continuous where it exists: no operation has a kink or a jump.
    pub fn is_smooth(&self) -> bool {
        self.nodes.iter().all(|node| match node {
            Node::Variable(_) | Node::Constant(_) => true,
            Node::Unary(op, _) => !matches!(op, Unary::Abs | Unary::Relu),
            Node::Binary(op, ..) => !op.is_comparison() && !matches!(op, Binary::Min | Binary::Max),
            Node::Select(..) => false,
        })
    }

    /// The outputs for one number per input; an input that is missing is NaN.
    pub fn eval<T: Real>(&self, inputs: &[T]) -> Vec<T> {
        self.compute(|i| inputs.get(i).copied().unwrap_or(T::zero() / T::zero()))
    }

    /// The values of all nodes.
    pub(crate) fn values<A: Arithmetic>(&self, input: impl Fn(usize) -> A) -> Vec<A> {
        let mut values: Vec<A> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let at = |id: Id| values[id.index()];
            values.push(match *node {
                Node::Variable(i) => input(i),
                Node::Constant(bits) => A::constant(f64::from_bits(bits)),
                Node::Unary(op, x) => A::unary(op, at(x)),
                Node::Binary(op, x, y) => A::binary(op, at(x), at(y)),
                Node::Select(condition, a, b) => A::select(at(condition), at(a), at(b)),
            });
        }
        values
    }

    /// The values of the outputs.
    pub(crate) fn compute<A: Arithmetic>(&self, input: impl Fn(usize) -> A) -> Vec<A> {
        let values = self.values(input);
        self.outputs.iter().map(|id| values[id.index()]).collect()
    }

    /// On which side of each kink or jump the inputs lie: between inputs that agree in this nothing is kinked.
    pub(crate) fn sides(&self, input: impl Fn(usize) -> f64) -> Vec<Option<Ordering>> {
        let values = self.values(input);
        let at = |id: Id| values[id.index()];
        let side = |node: &Node| match *node {
            Node::Unary(Unary::Abs | Unary::Relu, x) => at(x).partial_cmp(&0.0),
            Node::Binary(op, x, y) if op.is_comparison() || matches!(op, Binary::Min | Binary::Max) => {
                at(x).partial_cmp(&at(y))
            }
            _ => Some(Ordering::Equal),
        };
        self.nodes.iter().map(side).collect()
    }

    /// The outputs for many numbers per input: `inputs[i]` and `outputs[o]` are columns of one length. `scratch` is memory
    /// that is kept from call to call.
    ///
    /// # Errors
    /// [`Error::Shape`] where the number of columns or a length is wrong.
    pub fn eval_columns<T: Real>(&self, inputs: &[&[T]], outputs: &mut [&mut [T]], scratch: &mut Vec<T>) -> Result<()> {
        let rows = outputs.first().map_or(0, |column| column.len());
        if inputs.len() != self.inputs.len() {
            return Err(Error::shape("columns of inputs", self.inputs.len(), inputs.len()));
        }
        if outputs.len() != self.outputs.len() {
            return Err(Error::shape("columns of outputs", self.outputs.len(), outputs.len()));
        }
        let lengths = inputs.iter().map(|column| column.len()).chain(outputs.iter().map(|column| column.len()));
        if let Some(length) = lengths.into_iter().find(|&length| length != rows) {
            return Err(Error::shape("length of a column", rows, length));
        }
        scratch.resize(self.nodes.len() * BLOCK, T::zero());
        for first in (0..rows).step_by(BLOCK) {
            let len = BLOCK.min(rows - first);
            self.block(|i| &inputs[i][first..first + len], len, scratch);
            for (&output, column) in self.outputs.iter().zip(outputs.iter_mut()) {
                column[first..first + len].copy_from_slice(&scratch[output.index() * BLOCK..][..len]);
            }
        }
        Ok(())
    }

    /// Hands each of `values` to `take` with the first output for the numbers that lie beside it in `inputs`, which are
    /// columns of one length; without columns, for the value itself. For loops: each thread keeps the memory for it.
    pub(crate) fn each<T: Real>(&self, values: &mut [T], inputs: &[&[T]], mut take: impl FnMut(&mut T, T)) {
        thread_local! {
            static SCRATCH: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
        }
        let Some(output) = self.outputs.first() else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            let needed = (self.nodes.len() * BLOCK * size_of::<T>()).div_ceil(size_of::<f64>());
            if scratch.len() < needed {
                scratch.resize(needed, 0.0);
            }
            let scratch: &mut [T] = bytemuck::cast_slice_mut(scratch);
            for (block, values) in values.chunks_mut(BLOCK).enumerate() {
                let (first, len) = (block * BLOCK, values.len());
                self.block(|i| inputs.get(i).map_or(&*values, |column| &column[first..first + len]), len, scratch);
                let found = &scratch[output.index() * BLOCK..][..len];
                values.iter_mut().zip(found).for_each(|(value, &found)| take(value, found));
            }
        });
    }

    /// Every node's values for at most [`BLOCK`] numbers per input, node by node in `scratch`.
    fn block<'a, T: Real>(&self, input: impl Fn(usize) -> &'a [T], len: usize, scratch: &mut [T]) {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (place, node) in self.nodes.iter().enumerate() {
                    let (before, target) = scratch.split_at_mut(place * BLOCK);
                    let target = &mut target[..len];
                    let at = |id: Id| &before[id.index() * BLOCK..][..len];
                    match *node {
                        Node::Variable(i) => target.copy_from_slice(input(i)),
                        Node::Constant(bits) => target.fill(T::of(f64::from_bits(bits))),
                        Node::Unary(op, x) => each_unary(op, at(x), target),
                        Node::Binary(op, x, y) => each_binary(op, at(x), at(y), target),
                        Node::Select(condition, a, b) => {
                            for (((target, &c), &a), &b) in target.iter_mut().zip(at(condition)).zip(at(a)).zip(at(b)) {
                                *target = T::select(c, a, b);
                            }
                        }
                    }
                }
            },
        );
    }
}

/// Expands `$body` once for each of the operations named, so that the loop in it has no match inside.
macro_rules! with_operation {
    ($op:expr, $type:ident { $($name:ident)* }, |$constant:ident| $body:expr) => {
        match $op {
            $($type::$name => {
                let $constant = $type::$name;
                $body
            })*
            $constant => $body,
        }
    };
}

#[inline(always)]
fn each_unary<T: Real>(op: Unary, x: &[T], target: &mut [T]) {
    with_operation!(op, Unary { Negate Exp Log Sqrt Abs Sin Cos Tanh Sigmoid Softplus Relu }, |op| {
        for (target, &x) in target.iter_mut().zip(x) {
            *target = op.value(x);
        }
    });
}

#[inline(always)]
fn each_binary<T: Real>(op: Binary, x: &[T], y: &[T], target: &mut [T]) {
    with_operation!(op, Binary { Add Subtract Multiply Divide Min Max Less LessEqual Equal NotEqual }, |op| {
        for ((target, &x), &y) in target.iter_mut().zip(x).zip(y) {
            *target = op.value(x, y);
        }
    });
}
