//! The support loss's gradient and Hessian products as [`Method`]s, so that they run over tasks as meta-gradients do.

use autodiff::{Aligned, Arg, Directions, Element, Options, Plan, Stage, Tape, Workspace, grad, hvp};
use meta::inner::Hyper;
use meta::method::{Method, Report, Worker};
use meta::problem::{At, FewShot, Problem};

/// ∇L_support at θ, as a [`Method`]: "adaptation" by no step at all.
pub struct SupportGradient<T>(Plan<T>);

impl<T: Element> SupportGradient<T> {
    /// Compiles it.
    pub fn new(problem: &FewShot) -> Self {
        let tape = Tape::new();
        let theta = tape.input("theta", problem.dim(), Stage::POINT);
        let at = At::new(theta, theta, autodiff::Real::zero(), problem.declare(&tape));
        let loss = problem.support_loss(&at);
        let gradient = grad(loss, &[theta])[0];
        SupportGradient(Plan::staged(&tape, &[(Stage::POINT, loss), (Stage::POINT, gradient)], Options::default()))
    }
}

impl<T: Element> Method<T> for SupportGradient<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        Box::new(GradientWorker { plan: &self.0, workspace: self.0.shared_workspace(threads) })
    }
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
    fn flops(&self, _report: &Report) -> u64 {
        self.0.flops(Stage::DATA) + self.0.flops(Stage::POINT)
    }
}

struct GradientWorker<'m, T> {
    plan: &'m Plan<T>,
    workspace: Workspace<T>,
}

impl<T: Element> Worker<T> for GradientWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], _hyper: Hyper, data: &[Arg<'_, T>], out: &mut [T]) -> Report {
        let args = [&[Arg::Floats(theta)], data].concat();
        let mut loss = [T::zero()];
        self.plan.run(Stage::DATA, &mut self.workspace, &args, &mut []);
        self.plan.run(Stage::POINT, &mut self.workspace, &args, &mut [&mut loss, out]);
        Report { query_loss: loss[0].to_f64(), ..Report::default() }
    }

    fn phi(&self) -> &[T] {
        &[]
    }
}

/// ∇²L_support at θ times each of several vectors.
pub struct SupportHessian<T> {
    products: Directions<T>,
    /// One behind the other.
    vectors: Aligned<T>,
    count: usize,
}

impl<T: Element> SupportHessian<T> {
    /// Compiles it; the products are written one after the other.
    pub fn new(problem: &FewShot, vectors: &[Vec<T>]) -> Self {
        let tape = Tape::new();
        let theta = tape.input("theta", problem.dim(), Stage::POINT);
        let at = At::new(theta, theta, autodiff::Real::zero(), problem.declare(&tape));
        let direction = tape.input("direction", problem.dim(), Stage::DIRECTION);
        let loss = problem.support_loss(&at);
        let product = hvp(loss, &[theta], &[(theta, direction)])[0];
        let products = Directions::compile(&tape, &[(Stage::POINT, loss)], product, direction, vectors.len());
        let mut all = Aligned::zeroed(vectors.len() * problem.dim());
        for (to, from) in all.chunks_exact_mut(problem.dim()).zip(vectors) {
            to.copy_from_slice(from);
        }
        SupportHessian { products, vectors: all, count: vectors.len() }
    }
}

impl<T: Element> Method<T> for SupportHessian<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        Box::new(HessianWorker { method: self, workspace: self.products.plan().shared_workspace(threads) })
    }
    fn bytes(&self) -> usize {
        self.products.plan().bytes()
    }
    fn flops(&self, report: &Report) -> u64 {
        let plan = self.products.plan();
        plan.flops(Stage::DATA) + plan.flops(Stage::POINT) + report.products as u64 * plan.flops(Stage::DIRECTION)
    }
}

struct HessianWorker<'m, T> {
    method: &'m SupportHessian<T>,
    workspace: Workspace<T>,
}

impl<T: Element> Worker<T> for HessianWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], _hyper: Hyper, data: &[Arg<'_, T>], out: &mut [T]) -> Report {
        let SupportHessian { products, vectors, count } = self.method;
        let args = [&[Arg::Floats(theta)], data, &[Arg::Floats(&[])]].concat();
        let mut loss = [T::zero()];
        products.run_point(&mut self.workspace, &args, &mut [&mut loss]);
        products.run(&mut self.workspace, &args, vectors, out);
        Report { query_loss: loss[0].to_f64(), products: *count, ..Report::default() }
    }

    fn phi(&self) -> &[T] {
        &[]
    }
}
