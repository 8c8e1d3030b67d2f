//! The mean meta-gradient of many tasks, on many threads: a thread a task, or several where tasks are fewer; or a thread
//! for as many small tasks as vectors have lanes.

use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use autodiff::{Element, Isa};
use rayon::prelude::*;

use super::TaskSource;
use super::gathering::Gathering;
use super::group::{Group, InOrder, Task};
use crate::inner::Hyper;
use crate::method::{Abreast, Method, Report, WarmStart, Worker};

/// Workers for every thread and a gradient for every task, made once.
///
/// Which thread takes which task changes nothing: each task's gradient goes to its own place, and the sum
/// is taken in task order. Where linear solves start from [a neighbour's](WarmStart::Neighbour), a thread takes a pair;
/// where a method can take [several tasks at a time](Method::abreast), a thread takes those, with the bits of one alone.
pub struct MetaBatch<'m, T> {
    isa: Isa,
    pool: &'m rayon::ThreadPool,
    threads: Vec<Thread<'m, T>>,
    groups: Vec<RwLock<Group<T>>>,
    dim: usize,
    /// Tasks of a group.
    together: usize,
}

struct Thread<'m, T> {
    worker: Box<dyn Worker<T> + 'm>,
    abreast: Option<Abreast<'m, T>>,
    /// Whether each second linear solve starts from the one before.
    pairs: bool,
    /// Room for one task of the last source, of that source's type.
    local: Option<Box<dyn Any + Send>>,
}

/// What a meta-batch took and showed; means are over the tasks that are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchReport {
    /// Tasks whose gradient and loss are finite.
    pub kept: usize,
    /// Mean query loss after adaptation.
    pub query_loss: f64,
    /// Mean support loss before adaptation.
    pub first_inner: f64,
    /// Mean inner objective at the end.
    pub last_inner: f64,
    /// Mean ‖∇G‖ at the end.
    pub inner_gradient: f64,
    /// Mean of that relative to ‖∇G‖ before the first step.
    pub inner_reduction: f64,
    /// Mean ‖b − A x‖/‖b‖ of the linear solves.
    pub linear_residual: f64,
    /// Hessian-vector products done, of inner and linear solvers and of estimates.
    pub products: usize,
    /// Evaluations of G and its gradient.
    pub evaluations: usize,
    /// Tasks on which the linear solver met negative curvature.
    pub negative_curvature: usize,
    /// Tasks on which its policy for indefinite operators changed what was computed.
    pub policy_acted: usize,
    /// The most that the policy added to an operator's diagonal.
    pub largest_shift: f64,
    /// The standard error of the mean gradient over tasks, √(Σ‖g_i − ḡ‖² / (n (n − 1))); 0 for one task.
    pub sampling_error: f64,
    /// The tasks left out: their gradient or loss is not finite, or a solver met what is not.
    pub not_finite: Vec<usize>,
}

impl<'m, T: Element> MetaBatch<'m, T> {
    /// For up to `tasks` tasks with `dim` meta-parameters.
    ///
    /// # Panics
    /// Where `AUTODIFF_ISA` names an instruction set that this CPU lacks.
    pub fn new(method: &'m dyn Method<T>, pool: &'m rayon::ThreadPool, dim: usize, tasks: usize) -> Self {
        let all = pool.current_num_threads();
        let pairs = method.warm_start() == Some(WarmStart::Neighbour);
        let abreast = || method.abreast().filter(|abreast| !pairs && lanes_pay(abreast.lanes(), tasks, all));
        let mut made = abreast();
        let together = made.as_ref().map_or(if pairs { 2 } else { 1 }, |made| shared(made.lanes(), tasks, all));
        let threads = all.min(tasks.div_ceil(together)).max(1);
        let worker = || method.shared_worker((all / threads).max(1));
        let group = |first: usize| {
            let count = together.min(tasks - first);
            RwLock::new(Group::new(count, dim))
        };
        MetaBatch {
            isa: Isa::detect().unwrap_or_else(|message| panic!("{message}")),
            pool,
            threads: (0..threads)
                .map(|_| Thread { worker: worker(), abreast: made.take().or_else(abreast), pairs, local: None })
                .collect(),
            groups: (0..tasks).step_by(together).map(group).collect(),
            dim,
            together,
        }
    }

    /// The linear solves of all tasks start from multiples of this from now on, where the method
    /// [makes use of it](Method::warm_start) and does not start from neighbours.
    pub fn start_from(&mut self, gradient: &[T]) {
        self.threads.iter_mut().for_each(|thread| thread.worker.start_from(gradient));
    }

    /// gradient ← mean over tasks 0..count of dF_i/dθ, without those that are not finite, which the report names; NaN
    /// where none is left.
    ///
    /// # Panics
    /// Where `count` is 0 or more than the batch was made for, or the gradient has another length.
    pub fn gradient<S>(
        &mut self,
        source: &S,
        count: usize,
        theta: &[T],
        hyper: Hyper,
        gradient: &mut [T],
    ) -> BatchReport
    where
        S: TaskSource<T>,
        S::Local: 'static,
    {
        let most = self.groups.iter_mut().map(|group| at_rest(group).tasks.len()).sum();
        assert!(0 < count && count <= most, "a meta-batch has between 1 and {most} tasks");
        assert_eq!(gradient.len(), self.dim, "the gradient has the length that the meta-batch was made for");
        // All of them now: which threads will find a task to take is chance, and nothing is allocated by chance.
        for thread in &mut self.threads {
            if !thread.local.as_ref().is_some_and(|l| l.is::<S::Local>()) {
                thread.local = Some(Box::new(source.local()));
            }
        }
        self.groups.iter_mut().for_each(|group| at_rest(group).taken = 0);
        let (groups, next, gathering) = (&self.groups, AtomicUsize::new(0), Gathering::default());
        let (isa, together) = (self.isa, self.together);
        let used = &groups[..count.div_ceil(together)];
        gradient.fill(T::zero());
        let sum = (self.dim < ALONE).then(|| InOrder::new(isa, gradient));
        let work = |thread: &mut Thread<'_, T>| {
            let _at_work = gathering.join();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let tasks = number * together..count.min((number + 1) * together);
                if tasks.is_empty() {
                    break;
                }
                let mut group = groups[number].write().unwrap_or_else(PoisonError::into_inner);
                thread.take(source, tasks, theta, hyper, isa, &mut group);
                drop(group);
                if let Some(sum) = &sum {
                    sum.add_what_is_done(used);
                }
            }
        };
        match &mut self.threads[..] {
            [only] if self.pool.current_num_threads() == 1 => work(only),
            // Joined, not spawned: a scope boxes what it spawns.
            threads => self.pool.install(|| threads.par_iter_mut().with_max_len(1).for_each(work)),
        }
        match sum {
            Some(sum) => sum.add_what_is_done(used),
            None => self.sum_in_parts(used, gradient),
        }
        self.reduce(count, gradient)
    }

    /// The report, and the mean of what has been summed.
    fn reduce(&mut self, count: usize, gradient: &mut [T]) -> BatchReport {
        let mut total = BatchReport::default();
        let mut squares = 0.0;
        let tasks = self.groups.iter_mut().flat_map(|group| &at_rest(group).tasks);
        for (i, task) in tasks.take(count).enumerate() {
            let Some(square) = task.square else {
                total.not_finite.push(i);
                continue;
            };
            squares += square;
            total.kept += 1;
            total.add(&task.report);
        }
        let n = total.kept as f64;
        total.divide(n);
        // With none kept this is 0 · ∞: no one takes it for a gradient.
        self.isa.scale(T::from_f64(1.0 / n), gradient);
        if total.kept > 1 {
            let mean = self.isa.dot(gradient, gradient);
            total.sampling_error = ((squares / n - mean).max(0.0) / (n - 1.0)).sqrt();
        }
        total
    }

    /// sum += the gradients of these groups that are kept, a part of it by each thread.
    fn sum_in_parts(&self, groups: &[RwLock<Group<T>>], sum: &mut [T]) {
        let isa = self.isa;
        let add = |(part, sum): (usize, &mut [T])| {
            for group in groups {
                let group = group.read().unwrap_or_else(PoisonError::into_inner);
                for own in group.kept() {
                    isa.add_scaled(T::one(), &own[part * PART..][..sum.len()], sum);
                }
            }
        };
        if self.threads.len() == 1 {
            sum.chunks_mut(PART).enumerate().for_each(add);
        } else {
            self.pool.install(|| sum.par_chunks_mut(PART).enumerate().for_each(add));
        }
    }

    /// The reports of the first `count` tasks.
    pub fn reports(&mut self, count: usize) -> Vec<Report> {
        (0..count).map(|task| self.report(task)).collect()
    }

    /// The report of one task.
    pub fn report(&mut self, task: usize) -> Report {
        at_rest(&mut self.groups[task / self.together]).tasks[task % self.together].report
    }
}

/// Numbers that are summed over all tasks at a time: they stay in the nearest cache.
const PART: usize = 4096;

/// So few are summed while threads are at work: to call them again takes longer.
const ALONE: usize = 4 * PART;

/// A group that no thread is at. What a panic has left in one is overwritten before it is read.
fn at_rest<T>(group: &mut RwLock<Group<T>>) -> &mut Group<T> {
    group.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Element> Thread<'_, T> {
    /// Takes these tasks, the first of the group.
    fn take<S>(&mut self, source: &S, tasks: Range<usize>, theta: &[T], hyper: Hyper, isa: Isa, group: &mut Group<T>)
    where
        S: TaskSource<T>,
        S::Local: 'static,
    {
        let Thread { worker, abreast, pairs, local } = self;
        if *pairs {
            // A panic may have left the start of another task.
            worker.start_from_zero();
        }
        let local = local.as_mut().and_then(|l| l.downcast_mut::<S::Local>()).expect("made before");
        let dim = group.gradients.len() / group.tasks.len();
        let gradients = &mut group.gradients[..tasks.len() * dim];
        let abreast = abreast.as_mut().filter(|abreast| lanes_pay(abreast.lanes(), tasks.len(), 1));
        let together = abreast.map(|abreast| {
            for (lane, number) in tasks.clone().enumerate() {
                source.with_task(number, local, |data| abreast.put(lane, data));
            }
            abreast.gradients(theta, hyper, gradients);
            &*abreast
        });
        let last = tasks.len() - 1;
        for (i, (task, gradient)) in group.tasks.iter_mut().zip(gradients.chunks_exact_mut(dim)).enumerate() {
            let report = together.and_then(|abreast| abreast.report(i)).unwrap_or_else(|| {
                source.with_task(tasks.start + i, local, |data| worker.gradient(theta, hyper, data, gradient))
            });
            let square = Some(isa.dot(gradient, gradient))
                .filter(|&square| is_finite(square, gradient) && !report.is_troubled());
            *task = Task { report, square };
            if *pairs {
                let usable = i < last && square.is_some();
                if usable { worker.start_from(gradient) } else { worker.start_from_zero() }
            }
        }
        group.taken = tasks.len();
    }
}

/// Whether so many tasks, shared by threads, are faster in lanes than one by one: all lanes together cost about as much as
/// five eighths of as many tasks alone (4.7 to 5.1 of eight: MAML and iMAML on `mlp:1-40-40-1`, AVX2).
fn lanes_pay(lanes: usize, tasks: usize, threads: usize) -> bool {
    5 * lanes * tasks.div_ceil(lanes).div_ceil(threads) < 8 * tasks.div_ceil(threads)
}

/// How many tasks threads take together, at most as many as there are lanes: all threads the same number where that takes no
/// more turns, since lanes that are left over cost nothing and a thread that has none to take waits.
fn shared(lanes: usize, tasks: usize, threads: usize) -> usize {
    let turns = tasks.div_ceil(lanes * threads);
    tasks.div_ceil(turns * threads)
}

/// Whether every element of a vector is finite, of which the square of the length is given: it may overflow where no element
/// has.
fn is_finite<T: Element>(square: f64, x: &[T]) -> bool {
    square.is_finite() || x.iter().all(|x| x.to_f64().is_finite())
}

impl BatchReport {
    fn add(&mut self, report: &Report) {
        self.query_loss += report.query_loss;
        self.first_inner += report.first_inner;
        self.last_inner += report.last_inner;
        self.inner_gradient += report.inner_gradient;
        // At a stationary point nothing is left to reduce.
        let reduction = report.inner_gradient / report.first_gradient;
        self.inner_reduction += if report.first_gradient > 0.0 { reduction } else { 0.0 };
        self.linear_residual += report.linear_residual;
        self.products += report.products + report.inner_products;
        self.evaluations += report.evaluations.max(report.steps);
        self.negative_curvature += usize::from(report.negative_curvature > 0);
        self.policy_acted += usize::from(report.policy_acted);
        self.largest_shift = self.largest_shift.max(report.shift);
    }

    fn divide(&mut self, n: f64) {
        for mean in [
            &mut self.query_loss,
            &mut self.first_inner,
            &mut self.last_inner,
            &mut self.inner_gradient,
            &mut self.inner_reduction,
            &mut self.linear_residual,
        ] {
            *mean /= n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_tasks_evenly_where_that_takes_no_more_turns() {
        assert_eq!(shared(16, 25, 2), 13);
        assert_eq!(shared(8, 25, 2), 7);
        assert_eq!(shared(16, 25, 1), 13);
        assert_eq!([shared(16, 16, 1), shared(16, 3, 2), shared(16, 1, 2)], [16, 2, 1]);
        for (lanes, tasks, threads) in [(8, 100, 3), (16, 33, 2), (16, 64, 4), (8, 9, 8)] {
            let together = shared(lanes, tasks, threads);
            let turns = |together: usize| tasks.div_ceil(together).div_ceil(threads);
            assert!(together <= lanes && turns(together) <= turns(lanes), "{together} of {tasks} on {threads}");
        }
    }
}
