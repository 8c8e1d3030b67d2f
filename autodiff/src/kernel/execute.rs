//! How steps run.

use super::access::Access;
use super::arg_max::arg_max;
use super::map::LeafValue;
use super::step::{Ending, Step};
use super::sum::{self, SumShape};
use super::{Epilogue, Isa, Task, Team, movement};
use crate::element::Element;
use crate::tape::ConvFace;

impl<T: Element> Step<T> {
    /// Runs it.
    ///
    /// # Safety
    /// [`Program::new`](super::Program::new) has checked it for the memory that `m` gives access to.
    pub(super) unsafe fn run(&self, isa: Isa, team: Team, m: &Access<'_, T>, spare: &mut [T]) {
        // SAFETY (of every access below): `Program::new` has checked this step, says the caller: its places are in bounds of the
        // arena of their type, and what it writes overlaps nothing else that it touches.
        match self {
            // SAFETY: see above.
            Step::Map(map) => unsafe { map.run(isa, m, team, spare) },
            Step::MatMul { shape, a, b, c, work } => {
                // SAFETY: see above.
                let (a, b, c, work) = unsafe { (m.read(*a), m.read(*b), m.write(*c), m.write(*work)) };
                shape.run(isa, team, [a, b], c, work);
            }
            Step::LaneMatMul { shape, a, b, c, ending } => {
                // SAFETY: see above.
                let (a, b, c) = unsafe { (m.read(*a), m.read(*b), m.write(*c)) };
                // SAFETY: see above.
                let epilogue = ending.as_ref().map(|ending| unsafe { ending.epilogue(m) });
                shape.run(isa, a, b, c, epilogue);
            }
            Step::Conv { conv, face, add, a, b, c } => {
                // SAFETY: see above.
                let (a, b, c) = unsafe { (m.read(*a), m.read(*b), m.write(*c)) };
                match face {
                    ConvFace::Forward => conv.forward(isa, team, *add, a, b, c),
                    ConvFace::InputGrad => conv.input_grad(isa, team, *add, a, b, c),
                    ConvFace::WeightGrad => conv.weight_grad(isa, team, *add, a, b, c),
                }
            }
            Step::Sum { shape, x, y, work } => {
                // SAFETY: see above.
                let (x, y, work) = unsafe { (m.read(*x), m.write(*y), m.write(*work)) };
                isa.run(SumRun { x, y, shape: *shape, work });
            }
            Step::Read { dims, strides, start, x, y } => {
                // SAFETY: see above.
                let (x, y) = unsafe { (m.read(*x), m.write(*y)) };
                movement::read_strided(isa, x, y, dims, strides, *start);
            }
            Step::Assemble { pieces, zeros, y } => {
                // SAFETY: see above; pieces computed in place are part of y and only not written here.
                let y = unsafe { m.write(*y) };
                for &(start, len) in zeros {
                    y[start..start + len].fill(T::zero());
                }
                for piece in pieces {
                    // SAFETY: see above.
                    let x = unsafe { m.read(piece.x) };
                    movement::write_strided(x, y, &piece.dims, &piece.strides, piece.start);
                }
            }
            Step::Gather { inner, bound, table, indices, y } => {
                // SAFETY: see above.
                let (table, indices, y) = unsafe { (m.read(*table), m.read_indices(*indices), m.write(*y)) };
                check_indices(indices, *bound);
                movement::gather(team, table, indices, y, *inner);
            }
            Step::ScatterAdd { inner, bound, rows, indices, y } => {
                // SAFETY: see above.
                let (rows, indices, y) = unsafe { (m.read(*rows), m.read_indices(*indices), m.write(*y)) };
                check_indices(indices, *bound);
                movement::scatter_add(isa, team, rows, indices, y, *inner);
            }
            Step::OneHot { depth, indices, y } => {
                // SAFETY: see above.
                let (indices, y) = unsafe { (m.read_indices(*indices), m.write(*y)) };
                check_indices(indices, *depth);
                movement::one_hot(indices, y, *depth);
            }
            Step::ArgMax { windows, x, y, values } => {
                // SAFETY: see above.
                let (x, y, values) = unsafe { (m.read(*x), m.write_indices(*y), m.write(*values)) };
                arg_max(isa, team, x, y, values, windows);
            }
        }
    }
}

impl<T: Element> Ending<T> {
    /// # Safety
    /// As [`Step::run`], of the step that it is part of.
    unsafe fn epilogue<'m>(&self, m: &Access<'m, T>) -> Epilogue<'m, T> {
        let Ending { form, a, b, s, r } = *self;
        let number = |value| match value {
            LeafValue::Literal(number) => number,
            // SAFETY: the caller's.
            LeafValue::At(place) => unsafe { m.read(place)[0] },
        };
        // SAFETY: the caller's.
        let (a, b) = unsafe { (m.read(a), m.read(b)) };
        Epilogue { form, a, b, s: number(s), r: number(r) }
    }
}

#[track_caller]
fn check_indices(indices: &[u32], bound: usize) {
    if let Some(i) = indices.iter().find(|&&i| i as usize >= bound) {
        panic!("index {i} is not below its bound {bound}");
    }
}

struct SumRun<'a, T: Element> {
    x: &'a [T],
    y: &'a mut [T],
    shape: SumShape,
    work: &'a mut [T],
}
impl<T: Element> Task for SumRun<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        sum::sum_middle(self.x, self.y, self.shape, self.work);
    }
}
