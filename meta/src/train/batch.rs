//! The mean meta-gradient of many tasks, on many threads: a thread a task, or several where tasks are fewer.

use std::any::Any;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use autodiff::{Arg, Element};

use super::TaskSource;
use crate::inner::Hyper;
use crate::method::{Method, Report, Worker};

/// Workers for every thread and a gradient for every task, made once.
///
/// Which thread takes which task changes nothing: each task's gradient goes to its own place, and the sum
/// is taken in task order.
pub struct MetaBatch<'m, T> {
    pool: &'m rayon::ThreadPool,
    threads: Vec<Thread<'m, T>>,
    tasks: Vec<Mutex<Task<T>>>,
}

struct Thread<'m, T> {
    worker: Box<dyn Worker<T> + 'm>,
    /// Room for one task of the last source, of that source's type.
    local: Option<Box<dyn Any + Send>>,
}

struct Task<T> {
    gradient: Vec<T>,
    report: Report,
}

/// What a meta-batch took and showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchReport {
    /// Mean query loss after adaptation.
    pub query_loss: f64,
    /// Mean support loss before adaptation.
    pub first_inner: f64,
    /// Mean inner objective at the end.
    pub last_inner: f64,
    /// Mean ‖∇G‖ at the end.
    pub inner_gradient: f64,
    /// Mean ‖b − A x‖/‖b‖ of the linear solves.
    pub linear_residual: f64,
    /// Hessian-vector products done.
    pub products: usize,
    /// Tasks on which the linear solver met negative curvature.
    pub negative_curvature: usize,
    /// Tasks on which its policy for indefinite operators changed what was computed.
    pub policy_acted: usize,
    /// The most that the policy added to an operator's diagonal.
    pub largest_shift: f64,
    /// The first task whose gradient or loss is not finite.
    pub not_finite: Option<usize>,
}

impl<'m, T: Element> MetaBatch<'m, T> {
    /// For up to `tasks` tasks with `dim` meta-parameters.
    pub fn new(method: &'m dyn Method<T>, pool: &'m rayon::ThreadPool, dim: usize, tasks: usize) -> Self {
        let all = pool.current_num_threads();
        let threads = all.min(tasks).max(1);
        let worker = || method.shared_worker((all / threads).max(1));
        let task = || Mutex::new(Task { gradient: vec![T::zero(); dim], report: Report::default() });
        MetaBatch {
            pool,
            threads: (0..threads).map(|_| Thread { worker: worker(), local: None }).collect(),
            tasks: (0..tasks).map(|_| task()).collect(),
        }
    }

    /// The linear solves of all tasks start from multiples of this from now on, where the method
    /// [makes use of it](Method::warm_starts).
    pub fn start_from(&mut self, gradient: &[T]) {
        self.threads.iter_mut().for_each(|thread| thread.worker.start_from(gradient));
    }

    /// gradient ← mean over tasks 0..count of dF_i/dθ.
    ///
    /// # Panics
    /// Where `count` is 0 or more than the batch was made for.
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
        assert!(0 < count && count <= self.tasks.len(), "a meta-batch has between 1 and {} tasks", self.tasks.len());
        let (tasks, next) = (&self.tasks[..count], AtomicUsize::new(0));
        let work = |thread: &mut Thread<'_, T>| {
            let fresh = !thread.local.as_ref().is_some_and(|l| l.is::<S::Local>());
            if fresh {
                thread.local = Some(Box::new(source.local()));
            }
            let local = thread.local.as_mut().and_then(|l| l.downcast_mut::<S::Local>()).expect("just made");
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(i) else { break };
                let mut task = task.lock().expect("no task panics while it is held");
                let Task { gradient, report } = &mut *task;
                let worker = &mut thread.worker;
                *report =
                    source.with_task(i, local, |data: &[Arg<'_, T>]| worker.gradient(theta, hyper, data, gradient));
            }
        };
        match &mut self.threads[..] {
            [only] if self.pool.current_num_threads() == 1 => work(only),
            [only] => self.pool.install(|| work(only)),
            threads => self.pool.scope(|scope| {
                for thread in threads {
                    scope.spawn(|_| work(thread));
                }
            }),
        }
        self.reduce(count, gradient)
    }

    /// The mean, in task order.
    fn reduce(&mut self, count: usize, gradient: &mut [T]) -> BatchReport {
        let mut total = BatchReport::default();
        gradient.fill(T::zero());
        for (i, task) in self.tasks[..count].iter_mut().enumerate() {
            let Task { gradient: own, report } = task.get_mut().expect("no task panics while it is held");
            let mut finite = report.query_loss.is_finite();
            for (sum, &g) in gradient.iter_mut().zip(&*own) {
                *sum = *sum + g;
            }
            // A non-finite gradient cannot hide in a sum: it makes the probe below non-finite too.
            let probe: f64 = own.iter().map(|g| g.to_f64() * 0.0).sum();
            finite &= probe == 0.0;
            if !finite {
                total.not_finite.get_or_insert(i);
            }
            total.query_loss += report.query_loss;
            total.first_inner += report.first_inner;
            total.last_inner += report.last_inner;
            total.inner_gradient += report.inner_gradient;
            total.linear_residual += report.linear_residual;
            total.products += report.products;
            total.negative_curvature += usize::from(report.negative_curvature > 0);
            total.policy_acted += usize::from(report.policy_acted);
            total.largest_shift = total.largest_shift.max(report.shift);
        }
        let n = count as f64;
        let scale = T::from_f64(1.0 / n);
        gradient.iter_mut().for_each(|g| *g = *g * scale);
        let means = [
            &mut total.query_loss,
            &mut total.first_inner,
            &mut total.last_inner,
            &mut total.inner_gradient,
            &mut total.linear_residual,
        ];
        means.into_iter().for_each(|m| *m /= n);
        total
    }

    /// The reports of the first `count` tasks.
    pub fn reports(&mut self, count: usize) -> Vec<Report> {
        self.tasks[..count].iter_mut().map(|t| t.get_mut().expect("no task panics while it is held").report).collect()
    }
}
