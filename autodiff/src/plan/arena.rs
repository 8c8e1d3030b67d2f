//! Where values live: kept blocks for what crosses stages, output slices for what is delivered, and one
//! scratch arena in which values that are not alive at the same time share memory.

use rustc_hash::FxHashMap;

use super::graph::Graph;
use super::inside::{self, Inside};
use super::schedule::{Job, Placing, Schedule};
use super::view::View;
use crate::kernel::{Place, Region, Size};
use crate::shape::Shape;
use crate::tape::{NodeId, Prim, Stage};

/// Places start on cache lines: 64 bytes of the smallest element.
const ALIGN: usize = 16;

/// The address of every stored node.
#[derive(Default)]
pub(super) struct Layout {
    places: FxHashMap<NodeId, Place>,
    /// Of products whose matrices lie apart in a tensor that they are pieces of: from one to the next.
    apart: FxHashMap<NodeId, usize>,
    work: FxHashMap<(Stage, usize), Place>,
    pub kept: [Size; Stage::COUNT],
    pub scratch: Size,
}

/// A request for scratch memory while items `first..=last` of a stage run.
struct Request {
    whose: Whose,
    len: usize,
    first: usize,
    last: usize,
}

enum Whose {
    Node(NodeId),
    Work(usize),
}

impl Layout {
    /// Of what each stage does as a whole.
    pub fn new(
        graph: &Graph<'_>,
        schedule: &Schedule<'_>,
        whole: &[Vec<Placing<'_>>; Stage::COUNT],
        outputs: &[NodeId],
        declared: &[(Stage, usize, Shape)],
    ) -> Self {
        let mut layout = Layout::default();
        for id in graph.roots() {
            if let Prim::Input(i) = graph.prim(id) {
                let place = Place { region: Region::Input(*i), offset: 0, len: graph.shape(id).numel() };
                layout.places.insert(id, place);
            }
        }
        for stage in Stage::ALL {
            layout.place_outputs(graph, schedule, stage, outputs, declared);
            layout.place_stage(graph, schedule, stage, &whole[stage.index()], true);
        }
        layout
    }

    /// The layout of a stage that keeps nothing for later ones and does these jobs: all that is neither input nor output is
    /// in scratch.
    pub fn fleeting(
        &self,
        graph: &Graph<'_>,
        schedule: &Schedule<'_>,
        (stage, jobs): (Stage, &[Placing<'_>]),
        outputs: &[NodeId],
        declared: &[(Stage, usize, Shape)],
    ) -> Self {
        let mut layout = Layout { scratch: self.scratch, kept: self.kept, ..Layout::default() };
        let stays = |id: NodeId| graph.stage(id) != stage || matches!(graph.prim(id), Prim::Input(_));
        layout.places = self.places.iter().filter(|&(&id, _)| stays(id)).map(|(&id, &place)| (id, place)).collect();
        layout.place_outputs(graph, schedule, stage, outputs, declared);
        layout.place_stage(graph, schedule, stage, jobs, false);
        layout
    }

    /// Values computed straight into an output.
    fn place_outputs(
        &mut self,
        graph: &Graph<'_>,
        schedule: &Schedule<'_>,
        stage: Stage,
        outputs: &[NodeId],
        declared: &[(Stage, usize, Shape)],
    ) {
        let copied: Vec<usize> = schedule.stages[stage.index()]
            .iter()
            .filter_map(|item| match item.job {
                Job::Deliver { output, .. } => Some(output),
                _ => None,
            })
            .collect();
        for (&id, (of, output, shape)) in outputs.iter().zip(declared) {
            if *of == stage && !copied.contains(output) {
                self.places.insert(graph.view(id).root, self.output(*output, shape.numel()));
            }
        }
    }

    /// Places what these jobs write; `keeps` what later stages read.
    fn place_stage(
        &mut self,
        graph: &Graph<'_>,
        schedule: &Schedule<'_>,
        stage: Stage,
        items: &[Placing<'_>],
        keeps: bool,
    ) {
        let kept_after = |id: NodeId| keeps && schedule.read_after(id, stage);
        let is_placed = |id: NodeId| self.places.contains_key(&id);
        let inside = inside::find(graph, stage, items, is_placed, kept_after);

        // When each value is written first and read last; a piece's life is part of its tensor's.
        let mut life: FxHashMap<NodeId, (usize, usize)> = FxHashMap::default();
        for (i, Placing { item, .. }) in items.iter().enumerate() {
            for &id in item.writes.iter().chain(&item.reads) {
                if graph.stage(id) != stage || matches!(graph.prim(id), Prim::Input(_)) {
                    continue;
                }
                let mut holder = id;
                loop {
                    let span = life.entry(holder).or_insert((i, i));
                    span.1 = i;
                    match inside.get(&holder) {
                        Some(inside) => holder = inside.tensor,
                        None => break,
                    }
                }
            }
        }

        let mut kept = Size::default();
        let mut floats = Vec::new();
        let mut indices = Vec::new();
        let mut nodes: Vec<_> = life.into_iter().collect();
        nodes.sort_unstable();
        for (id, (first, last)) in nodes {
            if inside.contains_key(&id) || self.places.contains_key(&id) {
                continue;
            }
            let len = graph.shape(id).numel();
            if kept_after(id) {
                let arena = if graph.is_index(id) { &mut kept.indices } else { &mut kept.floats };
                let place = Place { region: Region::Kept(stage.number()), offset: *arena, len };
                *arena += len.next_multiple_of(ALIGN);
                self.places.insert(id, place);
                continue;
            }
            let arena = if graph.is_index(id) { &mut indices } else { &mut floats };
            arena.push(Request { whose: Whose::Node(id), len, first, last });
        }
        if keeps {
            self.kept[stage.index()] = kept;
        }
        for (i, &Placing { number, work, .. }) in items.iter().enumerate().filter(|(_, item)| item.work > 0) {
            floats.push(Request { whose: Whose::Work(number), len: work, first: i, last: i });
        }
        let floats = self.pack(floats, stage);
        let indices = self.pack(indices, stage);
        self.scratch.floats = self.scratch.floats.max(floats);
        self.scratch.indices = self.scratch.indices.max(indices);

        // Tensors first, then what lies inside them.
        let mut inside: Vec<_> = inside.into_iter().collect();
        inside.sort_unstable_by_key(|&(piece, _)| std::cmp::Reverse(piece));
        for (piece, Inside { tensor, start, rows }) in inside {
            let own = View { root: piece, offset: start, len: graph.shape(piece).numel(), rows, flipped: false };
            // A product that another is added to is where that is.
            let apart = rows.map(|rows| rows.apart).or_else(|| self.apart(tensor));
            let place = self.place(tensor);
            let place = if apart.is_some() && rows.is_none() { place } else { place.slice(start, own.span()) };
            self.places.insert(piece, place);
            self.apart.extend(apart.map(|apart| (piece, apart)));
        }
    }

    /// First fit, largest first, among requests alive at the same time. Returns the size of the arena.
    fn pack(&mut self, mut requests: Vec<Request>, stage: Stage) -> usize {
        requests.sort_by_key(|r| (std::cmp::Reverse(r.len), r.first));
        let mut placed: Vec<(usize, usize, usize, usize)> = Vec::with_capacity(requests.len());
        let mut size = 0;
        for Request { whose, len, first, last } in requests {
            let mut neighbours: Vec<(usize, usize)> =
                placed.iter().filter(|p| p.2 <= last && first <= p.3).map(|p| (p.0, p.1)).collect();
            neighbours.sort_unstable();
            let mut offset = 0;
            for (start, end) in neighbours {
                if offset + len <= start {
                    break;
                }
                offset = offset.max(end);
            }
            let end = (offset + len).next_multiple_of(ALIGN);
            placed.push((offset, end, first, last));
            size = size.max(end);
            let place = Place { region: Region::Scratch, offset, len };
            match whose {
                Whose::Node(id) => self.places.insert(id, place),
                Whose::Work(i) => self.work.insert((stage, i), place),
            };
        }
        size
    }

    pub fn output(&self, output: usize, len: usize) -> Place {
        Place { region: Region::Output(output as u32), offset: 0, len }
    }

    /// From one matrix of a product to the next, where others lie between.
    pub fn apart(&self, id: NodeId) -> Option<usize> {
        self.apart.get(&id).copied()
    }

    pub fn place(&self, id: NodeId) -> Place {
        self.places[&id]
    }

    pub fn view(&self, view: View) -> Place {
        self.place(view.root).slice(view.offset, view.span())
    }

    /// For sizing a pass before anything has a place.
    pub fn place_or_empty(&self, id: NodeId, len: usize) -> Place {
        let empty = Place { region: Region::Scratch, offset: 0, len };
        self.places.get(&id).copied().unwrap_or(empty)
    }

    pub fn view_or_empty(&self, view: View) -> Place {
        let empty = Place { region: Region::Scratch, offset: 0, len: view.span() };
        self.places.get(&view.root).map_or(empty, |p| p.slice(view.offset, view.span()))
    }

    pub fn work(&self, stage: Stage, item: usize) -> Place {
        self.work_if_any(stage, item).unwrap_or(Place { region: Region::Scratch, offset: 0, len: 0 })
    }

    pub fn work_if_any(&self, stage: Stage, item: usize) -> Option<Place> {
        self.work.get(&(stage, item)).copied()
    }
}
