//! Implicit gradients of several tasks at a time: so many steps of a first-order optimiser, so many iterations of CG.

use autodiff::{Aligned, Arg, Element, Workspace};

use super::super::abreast::LaneWorker;
use super::super::plans::Plans;
use super::super::{Report, Wanted, see_step};
use super::{Implicit, add_direct};
use crate::inner::{Hyper, InnerStatus, MOST_LANES, Run};
use crate::linear::{CgLanes, CgLanesSpace, LaneSolution};

/// What is the same for all tasks.
pub(super) struct Lanes<T> {
    pub plans: Plans<T>,
    pub steps: usize,
    pub linear: CgLanes,
}

impl<T: Element> Implicit<T> {
    /// A worker for all lanes, where the method has them.
    pub(super) fn lane_worker(&self) -> Option<ImplicitLanes<'_, T>> {
        // What starts or is looked at beyond the solve is a task's own.
        let lanes = self.lanes.as_ref().filter(|_| self.warm.is_none() && self.estimator.is_none())?;
        let (inner, outer) = (&lanes.plans.inner, &lanes.plans.outer);
        Some(ImplicitLanes {
            lanes,
            run: Run::new(inner, 1),
            outer: outer.plan().workspace(),
            space: CgLanesSpace::new(inner.dim()),
            v: Aligned::zeroed(inner.dim()),
            direct: Aligned::zeroed(lanes.plans.direct_len()),
        })
    }
}

pub(super) struct ImplicitLanes<'m, T> {
    lanes: &'m Lanes<T>,
    run: Run<T>,
    outer: Workspace<T>,
    space: CgLanesSpace<T>,
    v: Aligned<T>,
    direct: Aligned<T>,
}

impl<T: Element> LaneWorker<T> for ImplicitLanes<'_, T> {
    fn take<'g>(
        &'g mut self,
        [one, theta]: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &'g mut [T],
        reports: &mut [Report],
        apart: &mut [bool],
    ) -> &'g [T] {
        let Lanes { plans: Plans { inner, outer }, steps, linear } = self.lanes;
        let (lanes, isa) = (inner.lanes(), inner.plan().isa());
        self.run.start_in_lanes(inner, [one, theta], hyper, data);
        for k in 0..=*steps {
            let wanted = if k == 0 || k == *steps { Wanted::Measures } else { Wanted::Step };
            see_step(&mut self.run, inner, theta, data, (k, wanted), reports);
            if k < *steps {
                self.run.accept();
            }
        }
        for (report, apart) in reports.iter().zip(&mut *apart) {
            // A solve of this one alone ends where it finds a gradient of 0, or what is not finite.
            let measured = [report.first_inner, report.first_gradient, report.last_inner, report.inner_gradient];
            let stands_still = report.first_gradient <= 0.0 || report.inner_gradient <= 0.0;
            *apart = stands_still || measured.iter().any(|x| !x.is_finite());
        }
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        let mut losses = [0.0; MOST_LANES];
        let (phi, of_lanes) = (&state[..inner.dim()], [&mut losses[..], &mut []]);
        outer.gradient_in_lanes(&mut self.outer, &inputs, phi, &mut self.v, &mut self.direct, of_lanes);

        let mut solutions = [LaneSolution::default(); MOST_LANES];
        let solutions = &mut solutions[..lanes];
        let apply = |x: &[T], y: &mut [T]| inner.hessian(workspace, &inputs, state, x, y);
        let minus_x = linear.minus_solution(isa, apply, &self.v, &mut self.space, solutions);
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        // The bits of a task alone, up to the sign of a zero.
        inner.mixed(workspace, &inputs, state, minus_x, gradient);
        add_direct(isa, &self.direct, gradient);
        for (lane, solution) in solutions.iter().enumerate() {
            apart[lane] |= solution.apart;
            reports[lane] = Report {
                query_loss: losses[lane],
                steps: *steps,
                evaluations: steps + 1,
                inner_status: Some(InnerStatus::Finished),
                products: solution.stats.products,
                status: Some(solution.status),
                linear_residual: solution.stats.residual,
                negative_curvature: solution.stats.negative_curvature,
                ..reports[lane]
            };
        }
        gradient
    }
}
