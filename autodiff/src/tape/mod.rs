//! The tape: a Wengert list of primitives, recorded once and transformed as often as wanted.
//!
//! A tape holds no numbers but literals; values exist only when a [`Plan`](crate::Plan) compiled from
//! it runs, in `f32` or `f64`. Recording *hash-conses*: an operation recorded twice is one node, so a
//! derivative that needs a primal value finds it instead of computing it again.

mod node;
mod var;

use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

pub use node::{ConvFace, Stage, Windows};
pub(crate) use node::{InputSpec, Kind, MatMulLanes, Node, NodeId, Operands, Prim};
pub use var::{Indices, Mask, Var};
pub(crate) use var::{MaskRepr, Repr};

use crate::shape::Shape;

/// The most axes a tensor may have.
pub(crate) const MOST_AXES: usize = 12;

type Interned = std::collections::HashMap<Node, NodeId, BuildHasherDefault<FxHasher>>;

/// A growing list of primitives. See the [crate documentation](crate) for how it is used.
#[derive(Clone, Default)]
pub struct Tape {
    graph: RefCell<Graph>,
}

#[derive(Clone, Default)]
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    pub inputs: Vec<InputSpec>,
    interned: Interned,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares an input of floats. `stage` says how often it changes; `name` is for messages.
    ///
    /// # Panics
    /// Where the shape has an extent of 0, more than 12 axes, or more elements than memory can hold.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>, stage: Stage) -> Var<'_> {
        Var::node(self, self.declare(name, shape.into(), stage, Kind::Float))
    }

    /// Declares an input of indices, each below `bound`, which running checks.
    ///
    /// # Panics
    /// As [`input`](Tape::input).
    #[track_caller]
    pub fn indices(&self, name: &str, shape: impl Into<Shape>, bound: usize, stage: Stage) -> Indices<'_> {
        Indices { tape: self, id: self.declare(name, shape.into(), stage, Kind::Index { bound }) }
    }

    /// Number of nodes recorded so far.
    pub fn len(&self) -> usize {
        self.graph.borrow().nodes.len()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[track_caller]
    fn declare(&self, name: &str, shape: Shape, stage: Stage, kind: Kind) -> NodeId {
        check_shape(&shape);
        let index = {
            let inputs = &mut self.graph.borrow_mut().inputs;
            inputs.push(InputSpec { name: name.into(), shape: shape.clone(), stage, kind });
            inputs.len() - 1
        };
        self.intern(Node { prim: Prim::Input(index as u32), operands: Operands::new(), shape, kind })
    }

    /// A leaf that stands for "some tangent" while a program is linearised; it is never run.
    pub(crate) fn seed(&self, shape: Shape) -> Var<'_> {
        let serial = self.len() as u32;
        Var::node(
            self,
            self.intern(Node { prim: Prim::Seed(serial), operands: Operands::new(), shape, kind: Kind::Float }),
        )
    }

    /// A copy of `id` that nothing looks through: see [`Var::cut`].
    pub(crate) fn cut(&self, id: NodeId) -> NodeId {
        let Node { shape, kind, .. } = self.get(id);
        let prim = Prim::Cut(self.len() as u32);
        self.intern(Node { prim, operands: Operands::from_slice(&[id]), shape, kind })
    }

    /// The same value, of `stage` at the earliest.
    pub(crate) fn defer(&self, id: NodeId, stage: Stage) -> NodeId {
        let Node { shape, kind, .. } = self.get(id);
        self.intern(Node { prim: Prim::Defer(stage), operands: Operands::from_slice(&[id]), shape, kind })
    }

    /// The stage of each node: the earliest that has all it needs.
    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.read(Graph::stages)
    }

    /// The id of `node`, recording it if it is new.
    #[track_caller]
    pub(crate) fn intern(&self, node: Node) -> NodeId {
        let graph = &mut *self.graph.borrow_mut();
        if let Some(&id) = graph.interned.get(&node) {
            return id;
        }
        check_shape(&node.shape);
        let id = NodeId(u32::try_from(graph.nodes.len()).expect("a tape holds at most 2³² nodes"));
        graph.nodes.push(node.clone());
        graph.interned.insert(node, id);
        id
    }

    /// Whether `node` is recorded.
    pub(crate) fn has(&self, node: &Node) -> bool {
        self.graph.borrow().interned.contains_key(node)
    }

    pub(crate) fn get(&self, id: NodeId) -> Node {
        self.graph.borrow().nodes[id.index()].clone()
    }

    pub(crate) fn read<R>(&self, f: impl FnOnce(&Graph) -> R) -> R {
        f(&self.graph.borrow())
    }
}

impl Graph {
    /// The stage of each node: the earliest that has all it needs.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of_operands = node.operands.iter().map(|o| stages[o.index()]).max().unwrap_or(Stage::DATA);
            stages.push(match node.prim {
                Prim::Input(k) => self.inputs[k as usize].stage,
                Prim::Defer(stage) => of_operands.max(stage),
                _ => of_operands,
            });
        }
        stages
    }
}

/// What indexing relies on: every offset into a tensor is a number, and there is something to compute.
#[track_caller]
fn check_shape(shape: &Shape) {
    let dims = shape.dims();
    assert!(dims.len() <= MOST_AXES, "shape {shape} has more than {MOST_AXES} axes");
    assert!(!dims.contains(&0), "shape {shape} has no elements: a tensor has at least one");
    let bytes = dims.iter().try_fold(8_usize, |product, &d| product.checked_mul(d));
    assert!(bytes.is_some_and(|b| b <= isize::MAX as usize), "shape {shape} has more elements than memory can hold");
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let graph = self.graph.borrow();
        for (i, node) in graph.nodes.iter().enumerate() {
            writeln!(f, "%{i} = {:?} {:?} {}", node.prim, node.operands, node.shape)?;
        }
        Ok(())
    }
}
