//! Several tasks at a time, one in every lane of vectors.

use autodiff::{Aligned, Arg, Element, Isa};

use super::Report;
use super::plans::Plans;
use crate::inner::{Hyper, MOST_DATA};
use crate::problem::DataSpec;

/// What takes the gradient of one task, or of one in every lane of its plans.
pub(super) trait LaneWorker<T>: Send {
    /// dF_i/dθ of the tasks in `data`, [|θ|, lanes] as all vectors are, in `gradient` or elsewhere; and in `reports`, which
    /// are new, what each took; `apart` ← whether a task took another turn than the others: then nothing is said of it.
    /// θ is given for one task and in all lanes, there only if it is [read](Plans::read_theta).
    fn take<'g>(
        &'g mut self,
        theta: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &'g mut [T],
        reports: &mut [Report],
        apart: &mut [bool],
    ) -> &'g [T];
}

/// A thread's memory for several tasks at a time, made by [`Method::abreast`](super::Method::abreast).
///
/// Tasks are [`put`](Abreast::put) into lanes, and their gradients taken together.
pub struct Abreast<'m, T> {
    worker: Box<dyn LaneWorker<T> + 'm>,
    isa: Isa,
    theta_dim: usize,
    /// [|θ|, lanes], or nothing where it is not read.
    theta: Aligned<T>,
    /// [|θ|, lanes]
    gradient: Aligned<T>,
    data: Vec<Packed<T>>,
    reports: Vec<Report>,
    /// Whether the task in a lane has to be taken alone.
    turned: Vec<bool>,
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
        let (lanes, theta_dim) = (plans.inner.lanes(), plans.inner.theta_dim());
        let packed = |spec: &DataSpec| match spec.bound {
            None => Packed::Floats(vec![T::zero(); spec.shape.numel() * lanes]),
            Some(_) => Packed::Indices(vec![0; spec.shape.numel() * lanes]),
        };
        let theta = Aligned::zeroed(if plans.read_theta() { theta_dim } else { 0 });
        let (theta_dim, gradient) = (theta_dim / lanes, Aligned::zeroed(theta_dim));
        let (isa, data) = (plans.inner.plan().isa(), plans.inner.data().iter().map(packed).collect());
        let (reports, turned) = (vec![Report::default(); lanes], vec![false; lanes]);
        Abreast { worker: Box::new(worker), isa, theta_dim, theta, gradient, data, reports, turned }
    }

    /// Tasks at a time.
    pub fn lanes(&self) -> usize {
        self.reports.len()
    }

    /// Puts the task in `data` into a lane; the first is put into all, so that none is ever empty.
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
                        if lane == 0 { all.fill(x) } else { all[lane] = x }
                    }
                }
                (Arg::Indices(x), Packed::Indices(all)) => {
                    assert_eq!(x.len() * lanes, all.len(), "as many indices as the problem declares");
                    let others = if lane == 0 { lanes - 1 } else { 0 };
                    let own = all.chunks_exact_mut(x.len()).skip(lane).take(1 + others);
                    own.for_each(|own| own.copy_from_slice(x));
                }
                _ => panic!("a data input is of another type (floats, indices) than the problem declares"),
            }
        }
    }

    /// gradients ← dF_i/dθ of the tasks in the first lanes, [tasks, |θ|].
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares, or there are more tasks than lanes, or none.
    pub fn gradients(&mut self, theta: &[T], hyper: Hyper, gradients: &mut [T]) {
        let lanes = self.lanes();
        assert_eq!(theta.len(), self.theta_dim, "θ has the length that the problem declares");
        if !self.theta.is_empty() {
            self.isa.spread(lanes, theta, &mut self.theta);
        }
        let mut args = [Arg::Floats(&[][..]); MOST_DATA];
        for (arg, packed) in args.iter_mut().zip(&self.data) {
            *arg = match packed {
                Packed::Floats(x) => x.into(),
                Packed::Indices(x) => Arg::Indices(x),
            };
        }
        let data = &args[..self.data.len()];
        self.reports.fill(Report::default());
        self.turned.fill(false);
        let (gradient, theta) = (&mut self.gradient, [theta, &self.theta]);
        let all = self.worker.take(theta, hyper, data, gradient, &mut self.reports, &mut self.turned);
        self.isa.out_of_lanes(lanes, all, gradients.len() / self.theta_dim, gradients);
    }

    /// What is to be said of the task in a lane; `None` where that task took another turn than the others and has to be
    /// taken alone.
    pub fn report(&self, lane: usize) -> Option<Report> {
        (!self.turned[lane]).then(|| self.reports[lane])
    }
}
