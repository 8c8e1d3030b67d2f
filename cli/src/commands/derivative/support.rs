//! The support loss's gradient and Hessian products as [`Method`]s, so that they run over tasks as meta-gradients do.

use autodiff::{Arg, Element, Options, Plan, Stage, Tape, Workspace, grad, hvp};
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
        Box::new(PlanWorker { plan: &self.0, vectors: &[], workspace: self.0.shared_workspace(threads) })
    }
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
    fn flops(&self, _report: &Report) -> u64 {
        self.0.flops(Stage::DATA) + self.0.flops(Stage::POINT)
    }
}

/// ∇²L_support at θ times each of several vectors.
pub struct SupportHessian<T> {
    plan: Plan<T>,
    vectors: Vec<Vec<T>>,
}

impl<T: Element> SupportHessian<T> {
    /// Compiles it; the products are written one after the other.
    pub fn new(problem: &FewShot, vectors: Vec<Vec<T>>) -> Self {
        let tape = Tape::new();
        let theta = tape.input("theta", problem.dim(), Stage::POINT);
        let at = At::new(theta, theta, autodiff::Real::zero(), problem.declare(&tape));
        let direction = tape.input("direction", problem.dim(), Stage::DIRECTION);
        let loss = problem.support_loss(&at);
        let product = hvp(loss, &[theta], &[(theta, direction)])[0];
        let outputs = [(Stage::POINT, loss), (Stage::DIRECTION, product)];
        SupportHessian { plan: Plan::staged(&tape, &outputs, Options::default()), vectors }
    }
}

impl<T: Element> Method<T> for SupportHessian<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        Box::new(PlanWorker {
            plan: &self.plan,
            vectors: &self.vectors,
            workspace: self.plan.shared_workspace(threads),
        })
    }
    fn bytes(&self) -> usize {
        self.plan.bytes()
    }
    fn flops(&self, report: &Report) -> u64 {
        self.plan.flops(Stage::DATA)
            + self.plan.flops(Stage::POINT)
            + report.products as u64 * self.plan.flops(Stage::DIRECTION)
    }
}

/// Runs either plan; no vectors means the gradient.
struct PlanWorker<'m, T> {
    plan: &'m Plan<T>,
    vectors: &'m [Vec<T>],
    workspace: Workspace<T>,
}

impl<T: Element> Worker<T> for PlanWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], _hyper: Hyper, data: &[Arg<'_, T>], out: &mut [T]) -> Report {
        let mut args = vec![Arg::Floats(theta)];
        args.extend_from_slice(data);
        let mut loss = [T::zero()];
        if self.vectors.is_empty() {
            self.plan.run(Stage::DATA, &mut self.workspace, &args, &mut []);
            self.plan.run(Stage::POINT, &mut self.workspace, &args, &mut [&mut loss, out]);
        } else {
            args.push(Arg::Floats(&[]));
            self.plan.run(Stage::DATA, &mut self.workspace, &args, &mut []);
            self.plan.run(Stage::POINT, &mut self.workspace, &args, &mut [&mut loss]);
            let last = args.len() - 1;
            for (vector, part) in self.vectors.iter().zip(out.chunks_exact_mut(theta.len())) {
                args[last] = vector.into();
                self.plan.run(Stage::DIRECTION, &mut self.workspace, &args, &mut [part]);
            }
        }
        Report { query_loss: loss[0].to_f64(), products: self.vectors.len(), ..Report::default() }
    }

    fn phi(&self) -> &[T] {
        &[]
    }
}
