//! Several tasks at a time, one in every lane of vectors.

use autodiff::{Arg, Element, Isa};

use super::Report;
use super::plans::Plans;
use crate::inner::{Hyper, MOST_DATA, MOST_LANES};
use crate::problem::DataSpec;

/// What takes the gradients of as many tasks at a time as its plans have lanes.
pub(super) trait LaneWorker<T>: Send {
    /// How many.
    fn lanes(&self) -> usize;

    /// gradient ← dF_i/dθ of the tasks in `data`, [|θ|, lanes] as θ and all other vectors are, and their reports.
    fn gradients(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> LaneReports;
}

/// A report of the task in each lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneReports {
    pub reports: [Report; MOST_LANES],
    /// Whether the task has to be taken alone: it took another turn than the others.
    pub apart: [bool; MOST_LANES],
}

impl LaneReports {
    pub fn of(&mut self, lanes: usize) -> &mut [Report] {
        &mut self.reports[..lanes]
    }
}

/// A thread's memory for several tasks at a time, made by [`Method::abreast`](super::Method::abreast).
///
/// Tasks are [`put`](Abreast::put) into lanes, their gradients taken together and given back one by one.
pub struct Abreast<'m, T> {
    worker: Box<dyn LaneWorker<T> + 'm>,
    isa: Isa,
    theta: Vec<T>,
    /// [|θ|, lanes]
    gradient: Vec<T>,
    /// [lanes, |θ|]
    apart: Vec<T>,
    data: Vec<Packed<T>>,
    reports: LaneReports,
}

/// One input of all lanes.
enum Packed<T> {
    /// [shape, lanes]
    Floats(Vec<T>),
    /// [lanes, shape]
    Indices(Vec<u32>),
}

impl<'m, T: Element> Abreast<'m, T> {
    /// For a worker of these plans.
    pub(super) fn new(worker: impl LaneWorker<T> + 'm, plans: &Plans<T>) -> Self {
        let lanes = worker.lanes();
        let theta_dim = plans.inner.theta_dim();
        let packed = |spec: &DataSpec| match spec.bound {
            None => Packed::Floats(vec![T::zero(); spec.shape.numel() * lanes]),
            Some(_) => Packed::Indices(vec![0; spec.shape.numel() * lanes]),
        };
        let zeros = || vec![T::zero(); theta_dim];
        let (theta, gradient, apart) = (zeros(), zeros(), zeros());
        let (isa, data) = (plans.inner.plan().isa(), plans.data.iter().map(packed).collect());
        Abreast { worker: Box::new(worker), isa, theta, gradient, apart, data, reports: LaneReports::default() }
    }

    /// Tasks at a time.
    pub fn lanes(&self) -> usize {
        self.worker.lanes()
    }

    /// Puts the task in `data` into a lane, and into all behind it: none is ever empty.
    ///
    /// # Panics
    /// Where there is no such lane, or data are not what the problem declares.
    pub fn put(&mut self, lane: usize, data: &[Arg<'_, T>]) {
        let lanes = self.lanes();
        assert!(lane < lanes, "lane {lane} of {lanes}");
        assert_eq!(data.len(), self.data.len(), "as many data inputs as the problem declares");
        for (arg, packed) in data.iter().zip(&mut self.data) {
            match (arg, packed) {
                (Arg::Floats(x), Packed::Floats(all)) => {
                    assert_eq!(x.len() * lanes, all.len(), "as many numbers as the problem declares");
                    for (all, &x) in all.chunks_exact_mut(lanes).zip(*x) {
                        all[lane..].fill(x);
                    }
                }
                (Arg::Indices(x), Packed::Indices(all)) => {
                    assert_eq!(x.len() * lanes, all.len(), "as many indices as the problem declares");
                    all.chunks_exact_mut(x.len()).skip(lane).for_each(|own| own.copy_from_slice(x));
                }
                _ => panic!("a data input is of another type (floats, indices) than the problem declares"),
            }
        }
    }

    /// Takes the gradients of the tasks in all lanes.
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares.
    pub fn gradients(&mut self, theta: &[T], hyper: Hyper) {
        let lanes = self.lanes();
        assert_eq!(theta.len() * lanes, self.theta.len(), "θ has the length that the problem declares");
        for (all, &theta) in self.theta.chunks_exact_mut(lanes).zip(theta) {
            all.fill(theta);
        }
        let mut args = [Arg::Floats(&[][..]); MOST_DATA];
        for (arg, packed) in args.iter_mut().zip(&self.data) {
            *arg = match packed {
                Packed::Floats(x) => x.into(),
                Packed::Indices(x) => Arg::Indices(x),
            };
        }
        let data = &args[..self.data.len()];
        self.reports = self.worker.gradients(&self.theta, hyper, data, &mut self.gradient);
        self.isa.transpose(theta.len(), &self.gradient, &mut self.apart);
    }

    /// gradient ← dF_i/dθ of the task in a lane, with its report; `None` where that task took another turn than the
    /// others and has to be taken alone.
    pub fn take(&self, lane: usize, gradient: &mut [T]) -> Option<Report> {
        if self.reports.apart[lane] {
            return None;
        }
        gradient.copy_from_slice(&self.apart[lane * gradient.len()..][..gradient.len()]);
        Some(self.reports.reports[lane])
    }
}
