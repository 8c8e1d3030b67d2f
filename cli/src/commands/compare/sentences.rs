//! What the figures show, in a sentence each, from the numbers.

use super::accuracy::Reached;
use super::memory::{Run, Taken};
use super::tables::{error, megabytes};

/// An error small enough to train with.
const ENOUGH: f64 = 1e-3;

/// Which methods reach a small error, after how many inner steps.
pub fn over_steps(reached: &[Reached]) -> String {
    accuracy(reached, |r| r.steps as f64, |cost| format!("after {cost} inner steps"))
}

/// Which methods reach it, and what it costs.
pub fn over_compute(reached: &[Reached]) -> String {
    accuracy(reached, Reached::compute, |cost| format!("for {cost:.0} gradients and products"))
}

/// Speaks of the largest condition number at which a method reaches the error, or else of the smallest.
fn accuracy(reached: &[Reached], cost: impl Fn(&Reached) -> f64, at: impl Fn(f64) -> String) -> String {
    let blocks: Vec<&[Reached]> = reached.chunk_by(|a, b| a.condition == b.condition).collect();
    let some = blocks.iter().rev().find(|block| block.iter().any(|r| r.error <= ENOUGH));
    let block = some.unwrap_or(&blocks[0]);
    let (mut able, mut unable) = (Vec::new(), Vec::new());
    for row in block.chunk_by(|a, b| a.method == b.method) {
        let costs = row.iter().filter(|r| r.error <= ENOUGH).map(&cost);
        match costs.min_by(f64::total_cmp) {
            Some(cost) => able.push((cost, row[0].method)),
            None => {
                let best = row.iter().map(|r| r.error).fold(f64::INFINITY, f64::min);
                unable.push(format!("{} ({} at best)", row[0].method, error(best)));
            }
        }
    }
    able.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut parts: Vec<String> = Vec::new();
    for same in able.chunk_by(|a, b| a.0 == b.0) {
        let methods: Vec<&str> = same.iter().map(|a| a.1).collect();
        parts.push(format!("{} by {}", at(same[0].0), listed(&methods)));
    }
    if !unable.is_empty() {
        let most = block.iter().map(|r| r.steps).max().unwrap_or(0);
        parts.push(format!("not within {most} inner steps by {}", listed(&unable)));
    }
    let condition = block[0].condition;
    format!("At condition number {condition} an error of {ENOUGH:e} is reached {}.", parts.join(", "))
}

/// `a, b and c`
fn listed<S: AsRef<str>>(parts: &[S]) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match &parts[..] {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => parts.concat(),
    }
}

/// How memory grows with inner steps: what the system measured, or what is planned where it does not tell.
pub fn memory(taken: &[Taken]) -> String {
    let told = taken.iter().any(|t| t.run.as_ref().is_some_and(|r| r.peak_rss.is_some()));
    let bytes = |t: &Taken| match told {
        true => t.run.as_ref().and_then(|r| r.peak_rss).map(|b| b as f64),
        false => Some(t.planned as f64),
    };
    let clauses = taken.chunk_by(|a, b| a.method == b.method).filter_map(|row| {
        let known: Vec<(usize, f64)> = row.iter().filter_map(|t| Some((t.steps, bytes(t)?))).collect();
        let ((first, less), (last, more)) = (*known.first()?, *known.last()?);
        let (less, more, method) = (megabytes(less), megabytes(more), row[0].method);
        Some(format!("{method} from {less} to {more} MB ({first} to {last} steps)"))
    });
    let what = if told { "Resident memory" } else { "Planned memory" };
    let clauses: Vec<String> = clauses.collect();
    let refused = taken.iter().find(|t| t.note.contains("are free"));
    let refused =
        refused.map_or(String::new(), |t| format!(" {} steps of {} do not fit this machine.", t.steps, t.method));
    format!("{what} goes with inner steps: {}.{refused}", listed(&clauses))
}

/// What the others take beside MAML, at the most steps that all of them ran.
pub fn time(taken: &[Taken]) -> String {
    let ran = |t: &&Taken| t.run.is_some();
    let last = taken.chunk_by(|a, b| a.method == b.method).map(|row| row.iter().filter(ran).map(|t| t.steps).max());
    let Some(steps) = last.min().flatten() else { return String::from("Nothing was timed.") };
    let at: Vec<(&str, f64)> = taken
        .iter()
        .filter(|t| t.steps == steps)
        .filter_map(|t| Some((t.method, t.run.as_ref().map(Run::median)?)))
        .collect();
    let (method, seconds) = at[0];
    let others: Vec<String> =
        at[1..].iter().map(|(name, s)| format!("{name} takes {:.2} times as long", s / seconds)).collect();
    format!("At {steps} inner steps {method} takes {seconds:.3} s; {}.", listed(&others))
}
