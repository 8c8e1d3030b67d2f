//! Which nodes of a pass one instruction computes together.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::graph::Graph;
use super::view::View;
use crate::kernel::{MapOp, Ring};
use crate::rules::CompareOp;
use crate::tape::{NodeId, Prim};

/// What an instruction computes besides the node that it is of, of which that node is the only reader.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joined {
    /// The sum, difference or product that is one operand of another.
    Pair(NodeId),
    /// The comparison by which it chooses.
    Choice(NodeId),
    /// The comparison of a value with 0, which lets pass what is chosen; and the value, where it is a sum, difference or
    /// product that nothing else reads.
    Gate { comparison: NodeId, value: Option<NodeId> },
}

impl Joined {
    /// The nodes that it computes besides, operands first.
    pub fn inner(self) -> SmallVec<[NodeId; 2]> {
        match self {
            Joined::Pair(inner) | Joined::Choice(inner) => [inner].into_iter().collect(),
            Joined::Gate { comparison, value } => value.into_iter().chain([comparison]).collect(),
        }
    }

    /// What reads from what, in the instruction's order: the part that reads, and what it reads.
    pub fn reads(self, graph: &Graph<'_>, id: NodeId) -> SmallVec<[(NodeId, View); 4]> {
        let operands = |part: NodeId| graph.operands(part).map(move |view| (part, view));
        match self {
            Joined::Pair(inner) => operands(inner).chain(operands(id).filter(|(_, v)| v.root != inner)).collect(),
            Joined::Choice(comparison) => operands(comparison).chain(operands(id).skip(1)).collect(),
            Joined::Gate { comparison, value } => {
                let let_pass = operands(id).skip(2).filter(|_| !is_own_gate(graph, id, comparison));
                match value {
                    Some(value) => operands(value).chain(let_pass).collect(),
                    None => operands(comparison).take(1).chain(let_pass).collect(),
                }
            }
        }
    }

    /// The instruction.
    pub fn op(self, graph: &Graph<'_>, id: NodeId) -> MapOp {
        let ring = |id: NodeId| ring(graph.prim(id)).expect("what was joined as one");
        match self {
            Joined::Pair(inner) => {
                let last = graph.operands(id).nth(1).is_some_and(|v| v.root == inner);
                MapOp::Pair { first: ring(inner), second: ring(id), last }
            }
            Joined::Choice(comparison) => match graph.prim(comparison) {
                Prim::Compare(op) => MapOp::Choose(*op),
                other => unreachable!("{other:?} joined as a comparison"),
            },
            Joined::Gate { comparison, value } => {
                MapOp::Gate { first: value.map(ring), own: is_own_gate(graph, id, comparison) }
            }
        }
    }
}

fn ring(prim: &Prim) -> Option<Ring> {
    match prim {
        Prim::Binary(op) => Ring::of(*op),
        _ => None,
    }
}

/// Whether what is let pass is what was compared.
fn is_own_gate(graph: &Graph<'_>, choice: NodeId, comparison: NodeId) -> bool {
    graph.operands(choice).nth(2) == graph.operands(comparison).next()
}

/// Finds them, by reader, for the nodes of a pass in their order. `absorbed` says how often a node is read by the pass, if
/// it is one that an instruction of another can compute: one that the pass computes and nothing else needs.
pub(super) fn join(
    graph: &Graph<'_>,
    order: &[NodeId],
    absorbed: impl Fn(NodeId) -> Option<usize>,
) -> FxHashMap<NodeId, Joined> {
    let mut joined: FxHashMap<NodeId, Joined> = FxHashMap::default();
    for &reader in order {
        // An instruction has no room for more than one level: what has taken something in is not taken in.
        let fits = |root: NodeId, reads: usize, joined: &FxHashMap<_, _>| {
            absorbed(root) == Some(reads) && !joined.contains_key(&root)
        };
        let found = match graph.prim(reader) {
            Prim::Select => graph.operands(reader).next().and_then(|View { root: comparison, .. }| {
                let &Prim::Compare(op) = graph.prim(comparison) else { return None };
                if !fits(comparison, 1, &joined) {
                    return None;
                }
                let zero = |view: Option<View>| view.is_some_and(|view| is_zero(graph, view.root));
                let is_gate = op == CompareOp::LessEqual
                    && zero(graph.operands(comparison).nth(1))
                    && zero(graph.operands(reader).nth(1));
                if !is_gate {
                    return Some(Joined::Choice(comparison));
                }
                let reads = 1 + usize::from(is_own_gate(graph, reader, comparison));
                let value = graph.operands(comparison).next().map(|v| v.root);
                let value = value.filter(|&v| ring(graph.prim(v)).is_some() && fits(v, reads, &joined));
                Some(Joined::Gate { comparison, value })
            }),
            prim if ring(prim).is_some() => graph
                .operands(reader)
                .find(|v| ring(graph.prim(v.root)).is_some() && fits(v.root, 1, &joined))
                .map(|v| Joined::Pair(v.root)),
            _ => None,
        };
        joined.extend(found.map(|found| (reader, found)));
    }
    joined
}

/// The nodes that need no instruction of their own.
pub(super) fn within(joined: &FxHashMap<NodeId, Joined>) -> FxHashSet<NodeId> {
    joined.values().flat_map(|joined| joined.inner()).collect()
}

/// Whether it is 0 all over, and not −0.
fn is_zero(graph: &Graph<'_>, id: NodeId) -> bool {
    match graph.prim(id) {
        Prim::Literal(bits) => *bits == 0.0_f64.to_bits(),
        Prim::Broadcast(_) => graph.operands(id).next().is_some_and(|view| is_zero(graph, view.root)),
        _ => false,
    }
}
