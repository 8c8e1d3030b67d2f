//! Which nodes of a pass one instruction computes together.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::graph::Graph;
use super::view::View;
use crate::kernel::{By, MapOp, Passing, Ring};
use crate::rules::CompareOp;
use crate::tape::{NodeId, Prim};

/// What an instruction computes besides the node that it is of, of which that node is the only reader.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joined {
    /// The sum, difference or product that is one operand of another.
    Pair(NodeId),
    /// The comparison by which it chooses.
    Choice(NodeId),
    /// What closes a gate, and what passes where that is a sum that nothing else reads.
    Gate { by: Closing, total: Option<NodeId> },
}

/// What closes a gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Closing {
    /// The comparison of a value with 0; and the value, where it is a sum, difference or product that nothing else reads.
    Comparison(NodeId, Option<NodeId>),
    /// A mask.
    Mask,
}

impl Joined {
    /// The nodes that it computes besides, operands first.
    pub fn inner(self) -> SmallVec<[NodeId; 3]> {
        match self {
            Joined::Pair(inner) | Joined::Choice(inner) => [inner].into_iter().collect(),
            Joined::Gate { by: Closing::Mask, total } => total.into_iter().collect(),
            Joined::Gate { by: Closing::Comparison(comparison, value), total } => {
                value.into_iter().chain(total).chain([comparison]).collect()
            }
        }
    }

    /// What reads from what, in the instruction's order: the part that reads, and what it reads.
    pub fn reads(self, graph: &Graph<'_>, id: NodeId) -> SmallVec<[(NodeId, View); 4]> {
        let operands = |part: NodeId| graph.operands(part).map(move |view| (part, view));
        match self {
            Joined::Pair(inner) => operands(inner).chain(operands(id).filter(|(_, v)| v.root != inner)).collect(),
            Joined::Choice(comparison) => operands(comparison).chain(operands(id).skip(1)).collect(),
            Joined::Gate { by, total } => {
                let closing: SmallVec<[_; 2]> = match by {
                    Closing::Comparison(_, Some(value)) => operands(value).collect(),
                    Closing::Comparison(comparison, None) => operands(comparison).take(1).collect(),
                    Closing::Mask => operands(id).take(1).collect(),
                };
                let passing: SmallVec<[_; 2]> = match (self.passing(graph, id), total) {
                    (_, Some(total)) => operands(total).collect(),
                    (Passing::Own, _) => SmallVec::new(),
                    _ => operands(id).skip(2).collect(),
                };
                closing.into_iter().chain(passing).collect()
            }
        }
    }

    /// What a gate lets pass.
    fn passing(self, graph: &Graph<'_>, id: NodeId) -> Passing {
        match self {
            Joined::Gate { total: Some(_), .. } => Passing::Total,
            Joined::Gate { by: Closing::Comparison(comparison, _), .. } if is_own_gate(graph, id, comparison) => {
                Passing::Own
            }
            _ => Passing::Value,
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
            Joined::Gate { by, .. } => {
                let by = match by {
                    Closing::Comparison(_, Some(value)) => By::Of(ring(value)),
                    Closing::Comparison(_, None) => By::Value,
                    Closing::Mask => By::Mask,
                };
                MapOp::Gate { by, passing: self.passing(graph, id) }
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
            Prim::Select => {
                let mut operands = graph.operands(reader).map(|view| view.root);
                let (mask, yes, no) =
                    (operands.next().expect("three"), operands.next().expect("three"), operands.next());
                let total = no.filter(|&t| ring(graph.prim(t)) == Some(Ring::Add) && fits(t, 1, &joined));
                match graph.prim(mask) {
                    &Prim::Compare(op) if fits(mask, 1, &joined) => {
                        let (value, bound) = (graph.operands(mask).next(), graph.operands(mask).nth(1));
                        let with_zero = bound.is_some_and(|view| is_zero(graph, view.root)) && is_zero(graph, yes);
                        Some(if op == CompareOp::LessEqual && with_zero {
                            let reads = 1 + usize::from(is_own_gate(graph, reader, mask));
                            let value = value.map(|view| view.root);
                            let value = value.filter(|&v| ring(graph.prim(v)).is_some() && fits(v, reads, &joined));
                            Joined::Gate { by: Closing::Comparison(mask, value), total }
                        } else {
                            Joined::Choice(mask)
                        })
                    }
                    _ => is_zero(graph, yes).then_some(Joined::Gate { by: Closing::Mask, total }),
                }
            }
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
