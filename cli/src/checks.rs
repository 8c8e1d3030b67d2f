//! What is refused, and in which words, wherever a method is asked for: in options, in a config file, in `imaml metagrad`.

use autodiff::Element;

use crate::failure::Failure;
use crate::settings::MethodName;

/// Which methods an option is for.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// Those whose G has a prox term.
    Prox,
    /// The one whose linear solve is the user's to choose.
    Solve,
    /// One.
    Only(MethodName),
}

/// Refuses options that are given and belong to other methods.
///
/// # Errors
/// The first of them, whose it is, and why it is not this method's.
pub fn belong(method: MethodName, options: &[(&str, bool, Owner)]) -> Result<(), Failure> {
    let own = |owner: Owner| match owner {
        Owner::Prox => method.has_prox(),
        Owner::Solve => method == MethodName::Imaml,
        Owner::Only(one) => method == one,
    };
    let Some((name, _, owner)) = options.iter().find(|(_, given, owner)| *given && !own(*owner)) else {
        return Ok(());
    };
    let this = method.name();
    Err(Failure::new(match owner {
        Owner::Prox => {
            format!("{name} belongs to the methods imaml and auto: {this} has no prox term; leave {name} out")
        }
        Owner::Solve => {
            let lacks =
                if method.has_prox() { "chooses its linear solve" } else { "has no prox term and no linear solve" };
            format!("{name} belongs to the method imaml: {this} {lacks}; leave {name} out")
        }
        Owner::Only(one) => format!("{name} belongs to the method {}: leave {name} out", one.name()),
    }))
}

/// Whole numbers that an option may be.
pub type Range = (u64, u64);

/// Steps of adaptation.
pub const INNER_STEPS: Range = (0, 10_000);

/// Iterations of a linear solver.
pub const CG_STEPS: Range = (1, 10_000);

/// Pairs of evolution strategies.
pub const ES_PAIRS: Range = (1, 1_000_000);

/// Refuses whole numbers outside of what they may be.
///
/// # Errors
/// The first of them, and what it may be.
pub fn within(numbers: &[(&str, Option<u64>, Range)]) -> Result<(), Failure> {
    for &(name, value, (least, most)) in numbers {
        if let Some(v) = value.filter(|v| !(least..=most).contains(v)) {
            let most = if most == u64::MAX { String::new() } else { format!(" to {most}") };
            let least = if most.is_empty() { format!("at least {least}") } else { least.to_string() };
            return Err(format!("{name} is {v}: expected {least}{most}").into());
        }
    }
    Ok(())
}

/// Refuses what is not a number above 0 in the precision that is computed in.
///
/// # Errors
/// The first of them.
pub fn positive<T: Element>(numbers: &[(&str, Option<f64>)]) -> Result<(), Failure> {
    let is = |v: f64| {
        let rounded = T::from_f64(v).to_f64();
        rounded.is_finite() && rounded > 0.0
    };
    match numbers.iter().find_map(|&(name, value)| Some((name, value.filter(|&v| !is(v))?))) {
        Some((name, v)) if v > 0.0 => {
            Err(format!("{name} is {v:e}: expected a number above 0 that {} can hold", T::NAME).into())
        }
        Some((name, v)) => Err(format!("{name} is {v}: expected a number above 0").into()),
        None => Ok(()),
    }
}

/// Refuses no steps for a method that lives on them.
///
/// # Errors
/// Where that is so; `name` is what the option is called.
pub fn enough_steps(method: MethodName, name: &str, steps: usize) -> Result<(), Failure> {
    if steps == 0 && method == MethodName::Reptile {
        return Err(format!("{name} is 0: reptile moves towards adapted parameters and needs at least 1").into());
    }
    Ok(())
}
