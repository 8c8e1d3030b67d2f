//! `imaml predict`: what a model says of the query sets of an episode file, as it is or after adaptation.

use std::path::PathBuf;

use autodiff::Element;
use clap::Args;
use meta::inner::Hyper;
use meta::predict::Predictor;
use meta::problem::{FewShot, QueryStatistics};
use meta::train::TaskSource;
use rayon::prelude::*;

use crate::checks;
use crate::commands::source::{Opened, Precision, Source};
use crate::console::say;
use crate::episode::{self, EpisodeFile, Needs, OutputFile};
use crate::experiment;
use crate::failure::Failure;
use crate::format::count;
use crate::inner::{Inner, InnerArgs, Takes};
use crate::memory;

/// What a model says of the query sets: logits, or predicted values.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    #[command(flatten)]
    source: Source,
    /// Steps of adaptation to each task's support set first; the most, where something ends it sooner.
    #[arg(long, value_name = "K", default_value_t = 0)]
    inner_steps: usize,
    #[command(flatten)]
    inner: InnerArgs,
    /// λ of a prox term ½λ‖φ − θ‖² in what adaptation descends [default: none].
    #[arg(long)]
    lambda: Option<f64>,
    /// Normalise query sets with the support set's batch statistics, so that each query is classified alone.
    #[arg(long)]
    inductive: bool,
    /// Where to write `query.output` [tasks, rows, outputs].
    #[arg(long)]
    out: Option<PathBuf>,
}

impl PredictArgs {
    /// What adapts: any solver does, and no step has no size.
    fn inner(&self) -> Result<Inner, Failure> {
        let usual = (self.inner_steps == 0).then_some(1.0);
        Inner::new(self.inner, ("predict", Takes::Any), usual, "--")
    }
}

/// `imaml predict`
///
/// # Errors
/// One line on what is wrong with the arguments or the file.
pub fn predict(args: &PredictArgs) -> Result<(), Failure> {
    checks::within(&[("--inner-steps", Some(args.inner_steps as u64), checks::INNER_STEPS)])?;
    let opened = args.source.open()?;
    match opened.precision {
        Precision::F32 => predict_in::<f32>(args, &opened),
        Precision::F64 => predict_in::<f64>(args, &opened),
    }
}

fn predict_in<T: Element>(args: &PredictArgs, opened: &Opened) -> Result<(), Failure> {
    let inner = args.inner()?;
    checks::positive::<T>(&[
        ("--inner-lr", inner.given_rate()),
        ("--inner-tol", inner.tol),
        ("--lambda", args.lambda),
    ])?;
    let needs = Needs { query: true, ..Needs::default() };
    let EpisodeFile { parameters, tasks, .. } = opened.read::<T>(needs)?;
    let model = &opened.model;
    let problem = FewShot::new(model.clone(), tasks.support_rows, tasks.query_rows, args.lambda.is_some());
    let statistics = if args.inductive { QueryStatistics::Inductive } else { QueryStatistics::Transductive };
    let predictor = Predictor::adapting(&problem, inner.adaptation(args.inner_steps), &[statistics]);
    let hyper = Hyper { lambda: args.lambda.unwrap_or(0.0), rate: inner.hyper_rate() };
    let pool = experiment::pool(args.source.threads)?;
    let width = tasks.query_rows * model.outputs();
    let workers = pool.current_num_threads().min(tasks.count);
    let bytes = predictor.bytes() * workers + width * size_of::<T>() * tasks.count;
    memory::check("this", bytes as u64, "lower --threads, or take fewer tasks")?;
    let mut outputs = vec![T::zero(); width * tasks.count];
    let mut measured = vec![0.0; tasks.count];
    // Each thread has neighbouring tasks, and one space for them.
    let share = tasks.count.div_ceil(workers);
    let parts = outputs.par_chunks_mut(width * share).zip(measured.par_chunks_mut(share)).enumerate();
    let predict = |(part, (outputs, measured)): (usize, (&mut [T], &mut [f64]))| {
        let mut space = predictor.space();
        for (i, (to, measured)) in outputs.chunks_exact_mut(width).zip(measured).enumerate() {
            tasks.with_task(part * share + i, &mut (), |data| {
                space.run(&parameters, hyper, data, &[args.inner_steps], |_, _, output| {
                    *measured = predictor.measure().of(output, model.outputs(), data[3]);
                    to.copy_from_slice(output);
                });
            });
        }
    };
    pool.install(|| parts.for_each(predict));
    let measured = measured.iter().map(|m| m / tasks.count as f64).sum::<f64>();
    if let Some(i) = outputs.iter().position(|v| !v.to_f64().is_finite()) {
        let task = i / width;
        let slower = args.inner_steps > 0 && args.inner()?.given_rate().is_some();
        let advice = if slower { "lower --inner-lr" } else { "look at the parameters and the data" };
        return Err(format!("the outputs of task {task} are not finite: {advice}").into());
    }
    if let Some(out) = &args.out {
        let mut file = OutputFile::default();
        file.add("query.output", &[tasks.count, tasks.query_rows, model.outputs()], &outputs);
        episode::write(out, &file)?;
    }
    let (tasks, steps) = (count(tasks.count as u64, "task"), count(args.inner_steps as u64, "step"));
    let (measure, most) = (predictor.measure().name(), inner.at_most());
    say(format_args!("{measure} {measured:.6} over {tasks} after {most}{steps} of adaptation"));
    Ok(())
}
