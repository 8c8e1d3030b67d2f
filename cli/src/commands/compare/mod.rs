//! `imaml compare`: accuracy, memory and time of meta-gradients over inner steps, on this machine.
//!
//! Figure 2 of Rajeswaran, Finn, Kakade & Levine 2019. Accuracy is of linear regression, where the exact meta-gradient is
//! known; memory and time are of the convolutional network, each point a process of its own.

mod accuracy;
mod figures;
mod memory;
mod regression;
mod sentences;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::console::say;
use crate::experiment;
use crate::failure::Failure;
use crate::files::write_whole;
use crate::training::stop_signal;
use memory::NAMES;

/// Compare meta-gradients: how accurate they are, the memory and the time they take, as tables, CSV and figures.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// The folder to write accuracy.csv, memory.csv and the figures to.
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
    /// Measure everything, which takes up to an hour on two cores.
    #[arg(long)]
    full: bool,
    /// Measure next to nothing, in seconds: to see what is written.
    #[arg(long, hide = true, conflicts_with = "full")]
    quick: bool,
}

/// What is measured: by default, with --full, and with --quick.
struct Size {
    accuracy: accuracy::Extent,
    memory: memory::Extent,
}

impl Size {
    fn of(args: &CompareArgs) -> Size {
        const CONDITIONS: &[f64] = &[10.0, 100.0, 1000.0, 1e4];
        let (accuracy, memory) = (
            accuracy::Extent { tasks: 10, conditions: CONDITIONS, steps: 16_384 },
            memory::Extent { ways: 20, shots: 5, planned: 1024, measured: [32, 32, 32, 64], repeat: 1 },
        );
        if args.full {
            let accuracy = accuracy::Extent { tasks: 20, steps: 65_536, ..accuracy };
            return Size {
                accuracy,
                memory: memory::Extent { measured: [128, 1024, 1024, 1024], repeat: 2, ..memory },
            };
        }
        if args.quick {
            let accuracy = accuracy::Extent { tasks: 2, conditions: &CONDITIONS[..2], steps: 256 };
            let memory = memory::Extent { ways: 5, shots: 1, planned: 8, measured: [2; 4], repeat: 1 };
            return Size { accuracy, memory };
        }
        Size { accuracy, memory }
    }

    /// What `full` has and this has not.
    fn left_out(&self, full: &Size) -> String {
        let (a, b) = (&self.accuracy, &full.accuracy);
        let mut parts = vec![format!(
            "accuracy beyond {} of {} inner steps and on {} of {} tasks",
            a.steps, b.steps, a.tasks, b.tasks
        )];
        for (i, name) in NAMES.iter().enumerate() {
            let (measured, all) = (self.memory.measured[i], full.memory.measured[i]);
            parts.push(format!("memory and time of {name} beyond {measured} of {all}"));
        }
        format!("left out, for --full to measure: {}", parts.join("; "))
    }
}

/// `imaml compare`
///
/// # Errors
/// One line on what cannot be written or measured.
pub fn compare(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let isa = autodiff::Isa::detect()?;
    let size = Size::of(args);
    let pool = experiment::pool(None)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::io("make", &args.out, &e))?;
    let stop = stop_signal()?;
    let write = |name: &str, text: &str| write_whole(&args.out.join(name), text.as_bytes());
    let interrupted = || {
        say(format_args!("stopped; what was finished is in {}", args.out.display()));
        Ok(ExitCode::from(130))
    };

    let accuracy::Extent { tasks, steps, .. } = size.accuracy;
    say(format_args!("accuracy: linear regression of 20 parameters, {tasks} tasks, up to {steps} inner steps, f64"));
    let Some(reached) = accuracy::measure(&size.accuracy, &pool, &stop) else { return interrupted() };
    say(tables::accuracy(&reached));
    let (over_steps, over_compute) = (sentences::over_steps(&reached), sentences::over_compute(&reached));
    write("accuracy.csv", &tables::accuracy_csv(&reached, tasks))?;
    write("accuracy-steps.svg", &figures::accuracy_over_steps(&reached, &over_steps))?;
    write("accuracy-compute.svg", &figures::accuracy_over_compute(&reached, &over_compute))?;
    say(format_args!("{over_steps}\n{over_compute}\n"));

    let memory::Extent { ways, shots, .. } = size.memory;
    let (model, threads) = (size.memory.model(), pool.current_num_threads());
    say(format_args!(
        "memory and time: {model}, {ways}-way {shots}-shot, a process for each point, {threads} threads, {isa}"
    ));
    say(tables::taken_head());
    let measured = memory::measure(&size.memory, &stop, |taken| say(tables::taken(taken)))?;
    let Some(taken) = measured else { return interrupted() };
    let (of_memory, of_time) = (sentences::memory(&taken), sentences::time(&taken));
    write("memory.csv", &tables::memory_csv(&taken))?;
    write("memory.svg", &figures::memory(&taken, &of_memory))?;
    write("time.svg", &figures::time(&taken, &of_time))?;
    say(format_args!("\n{of_memory}\n{of_time}\n"));

    if !args.full {
        say(size.left_out(&Size::of(&CompareArgs { full: true, quick: false, ..args.clone() })));
    }
    say(written(&args.out));
    Ok(ExitCode::SUCCESS)
}

fn written(out: &Path) -> String {
    let files = "accuracy.csv, memory.csv, accuracy-steps.svg, accuracy-compute.svg, memory.svg, time.svg";
    format!("{files} are in {}", out.display())
}
