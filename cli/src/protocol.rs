//! What a run does, in words: on its console, on its page, in what is measured of it.

use crate::config::Config;
use crate::format::count;
use crate::inner::InnerName;

impl Config {
    /// `glyphs, 5-way 1-shot, 5 queries a class` or `sinusoid, 10 support and 10 query points`.
    pub fn tasks(&self) -> String {
        let Config { dataset, shots, queries, .. } = self;
        match self.ways {
            Some(ways) => format!("{dataset}, {ways}-way {shots}-shot, {queries} queries a class"),
            None => format!("{dataset}, {shots} support and {queries} query points"),
        }
    }

    /// `the initial parameters and lambda:layer`
    pub fn learned(&self) -> String {
        let beside = self.learn.map_or(String::new(), |learn| format!(" and {learn}"));
        format!("the initial parameters{beside}")
    }

    /// `5 CG iterations`, `at most 5 CG iterations`, `a dense solve`: the linear solver's part of a task.
    pub fn solve(&self) -> Option<String> {
        let solver = self.solver?;
        let most = if self.tol.is_some() { "at most " } else { "" };
        let n = self.cg_steps.map(|n| format!("{most}{}", count(n as u64, solver.iteration())));
        Some(n.unwrap_or_else(|| format!("a {}", solver.iteration())))
    }

    /// `16 steps of 0.1 on L_support`, `at most 16 steps of L-BFGS on …`: how a task is adapted to.
    pub fn descent(&self) -> String {
        let inner = self.inner();
        let most = if self.tol.is_some() { "at most " } else { inner.at_most() };
        let steps = count(self.inner_steps as u64, "step");
        format!("{most}{steps} of {} on {}{}", inner.of(), self.objective(), inner.until())
    }

    /// `gradient descent on L_support, step size 0.1`: the same for any number of steps.
    pub fn adaptation(&self) -> String {
        format!("{} on {}{}", self.inner_solver.title(), self.objective(), self.inner().details())
    }

    /// `iMAML`, `iMAML by L-BFGS`
    pub fn title(&self) -> String {
        match self.inner_solver {
            InnerName::Gd => self.method.title().into(),
            solver => format!("{} by {}", self.method.title(), solver.title()),
        }
    }

    /// What adaptation descends: `L_support + ½·0.5·‖φ − θ‖²`.
    pub fn objective(&self) -> String {
        match self.lambda {
            Some(lambda) => format!("L_support + ½·{lambda}·‖φ − θ‖²"),
            None => String::from("L_support"),
        }
    }
}
