//! Recomputation: what a later stage computes again rather than have an earlier one keep it.

use rustc_hash::FxHashMap;

use crate::kernel::ConvGeometry;
use crate::tape::{ConvFace, Node, NodeId, Operands, Prim, Stage, Tape, Var};

/// The same outputs, whose stages after `stage` compute again what is cheap to compute instead of reading it back.
///
/// A point that is kept then costs what nothing cheap gives: convolutions, products and sums of it, but neither the
/// elementwise values between them, nor what is only moved, nor products so shallow that they are bound by what they write
/// (the first layer, from the image). What is computed again has the same bits. It pays where each kept point is used
/// once, as in backpropagation through training; where many products are taken at a point, they would all compute it again.
///
/// # Example
/// ```
/// use autodiff::{Options, Plan, Real, Stage, Tape, recompute};
/// let tape = Tape::new();
/// let (x, v) = (tape.input("x", 1000, Stage::POINT), tape.input("v", 1000, Stage::DIRECTION));
/// let outputs = [(Stage::DIRECTION, x.tanh() * v)];
/// let plan = |outputs: &[_]| -> Plan<f32> { Plan::staged(&tape, outputs, Options::default()) };
/// assert_eq!(plan(&outputs).kept_bytes(Stage::POINT), 4032);
/// assert_eq!(plan(&recompute(&outputs, Stage::POINT)).kept_bytes(Stage::POINT), 0);
/// ```
///
/// # Panics
/// Where the outputs are on different tapes.
#[track_caller]
pub fn recompute<'t>(outputs: &[(Stage, Var<'t>)], stage: Stage) -> Vec<(Stage, Var<'t>)> {
    let Some(tape) = outputs.iter().find_map(|(_, y)| y.tape()) else { return outputs.to_vec() };
    let ids: Vec<NodeId> = outputs.iter().map(|(_, y)| y.id_on(tape)).collect();
    let stages = tape.stages();
    let mut rewriting = Rewriting { tape, stages, stage, again: FxHashMap::default(), later: FxHashMap::default() };
    let rewritten = ids.into_iter().map(|id| rewriting.later(id));
    outputs.iter().zip(rewritten).map(|(&(stage, _), id)| (stage, Var::node(tape, id))).collect()
}

struct Rewriting<'t> {
    tape: &'t Tape,
    stages: Vec<Stage>,
    stage: Stage,
    /// Nodes of the stage, as later ones read them.
    again: FxHashMap<(NodeId, Stage), NodeId>,
    /// Nodes of later stages.
    later: FxHashMap<NodeId, NodeId>,
}

impl Rewriting<'_> {
    /// A node of a later stage, made of what it now reads; any other as it is.
    fn later(&mut self, id: NodeId) -> NodeId {
        // Programs are deeper than a thread's stack.
        let mut open = vec![id];
        while let Some(&id) = open.last() {
            let own = self.stages[id.index()];
            if own <= self.stage || self.later.contains_key(&id) {
                open.pop();
                continue;
            }
            let node = self.tape.get(id);
            let is_open = |o: &&NodeId| self.stages[o.index()] > self.stage && !self.later.contains_key(o);
            let before = open.len();
            open.extend(node.operands.iter().rev().filter(is_open));
            if open.len() > before {
                continue;
            }
            let operand = |o: &NodeId| match self.later.get(o) {
                Some(&made) => made,
                None => self.again(*o, own),
            };
            let operands: Operands = node.operands.iter().map(operand).collect();
            let made = if operands == node.operands { id } else { self.tape.intern(Node { operands, ..node }) };
            self.later.insert(id, made);
        }
        self.later.get(&id).copied().unwrap_or(id)
    }

    /// A node of the stage or an earlier one, for a reader in a later stage.
    fn again(&mut self, id: NodeId, reader: Stage) -> NodeId {
        let mut open = vec![id];
        while let Some(&id) = open.last() {
            if self.known(id, reader).is_some() {
                open.pop();
                continue;
            }
            let node = self.tape.get(id);
            let looks_through = matches!(node.prim, Prim::Cut(_)) || is_cheap(&node.prim);
            let before = open.len();
            if looks_through {
                open.extend(node.operands.iter().rev().filter(|&&o| self.known(o, reader).is_none()));
            }
            if open.len() > before {
                continue;
            }
            let known = |o: &NodeId| self.known(*o, reader).expect("operands come first");
            let made = if let Prim::Cut(_) = node.prim {
                known(&node.operands[0])
            } else if looks_through {
                let operands = node.operands.iter().map(known).collect();
                self.tape.intern(Node { operands, ..node })
            } else {
                self.tape.defer(id, reader)
            };
            self.again.insert((id, reader), made);
        }
        self.known(id, reader).expect("it was made")
    }

    /// What a reader in a later stage reads for a node of the stage or an earlier one, if that is known.
    fn known(&self, id: NodeId, reader: Stage) -> Option<NodeId> {
        if self.stages[id.index()] < self.stage { Some(id) } else { self.again.get(&(id, reader)).copied() }
    }
}

/// The most multiply-adds for a number at which a product is cheap.
const SHALLOW: usize = 16;

/// Whether computing it takes about as long as reading it back.
fn is_cheap(prim: &Prim) -> bool {
    match prim {
        Prim::Broadcast(_) | Prim::Reshape | Prim::Permute(_) | Prim::Slice(_) | Prim::Assemble(_) => true,
        Prim::StopGradient | Prim::Defer(_) => true,
        Prim::Conv(ConvFace::Forward, ConvGeometry { kernel_h, kernel_w, in_c, .. }) => {
            kernel_h * kernel_w * in_c <= SHALLOW
        }
        prim => prim.is_elementwise(),
    }
}
