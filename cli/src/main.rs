//! `imaml`: meta-learning by implicit and unrolled derivatives, from the command line.
//!
//! | command | what it does |
//! |---|---|
//! | none, or `demo` | meta-trains on made-up characters and measures on others |
//! | `train` | meta-trains; saves a run folder |
//! | `train daml` | learned inner losses across a domain shift, compared |
//! | `eval` | measures a run on tasks it has not seen |
//! | `report` | the page of a run, or several runs compared on the same tasks |
//! | `adapt` | adapts a run to images of the user's own and labels others |
//! | `grad`, `hvp`, `metagrad` | derivatives on the tasks of an episode file |
//! | `verify` | a meta-gradient every way there is, compared; exit status 1 where two disagree |
//! | `compare` | accuracy, memory and time of meta-gradients on this machine, as figures |
//! | `predict` | what a model says of an episode file's query sets |
//! | `export-episode` | writes tasks and parameters as an episode file |
//!
//! What goes wrong is one line on standard error, exit status 2. A run stopped by Ctrl-C is saved, exit status 130.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::Failure;

mod byte_size;
mod chart;
mod checks;
mod claim;
mod commands;
mod config;
mod console;
mod defaults;
mod episode;
mod experiment;
mod failure;
mod files;
mod format;
mod images;
mod initial;
mod inner;
mod learning;
mod linear;
mod memory;
mod metrics;
mod model;
mod parameter_file;
mod progress;
mod protocol;
mod report;
mod run_folder;
mod settings;
mod table;
mod tensorboard;
mod tensors;
mod training;
mod warm_start;

/// Meta-learning with implicit gradients. Without a command: a demonstration of some three minutes.
#[derive(Parser, Debug)]
#[command(name = "imaml", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(commands::demo::DemoArgs),
    Train(Box<commands::train::TrainArgs>),
    Eval(commands::eval::EvalArgs),
    Report(commands::report::ReportArgs),
    Adapt(commands::adapt::AdaptArgs),
    Grad(commands::derivative::GradArgs),
    Hvp(commands::derivative::HvpArgs),
    Metagrad(commands::derivative::MetagradArgs),
    Predict(commands::predict::PredictArgs),
    ExportEpisode(commands::export_episode::ExportArgs),
    Verify(commands::verify::VerifyArgs),
    Compare(commands::compare::CompareArgs),
}

fn main() -> ExitCode {
    // What looks like a number is one: options say themselves what they may be.
    let numbers = |command: clap::Command| command.allow_negative_numbers(true);
    let parser = Cli::command().mut_subcommands(|command| numbers(command).mut_subcommands(numbers));
    let done = match parser.try_get_matches().and_then(|found| Cli::from_arg_matches(&found)) {
        Ok(cli) => run(cli.command.unwrap_or_else(|| Command::Demo(Default::default()))),
        // Help and version are answers, not errors.
        Err(e) if !e.use_stderr() => {
            console::say(e.render().to_string().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => Err(usage(&e)),
    };
    done.and_then(|code| console::heard().map(|()| code)).unwrap_or_else(|failure| {
        console::note(failure);
        ExitCode::from(2)
    })
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(args) => commands::demo::demo(&args),
        Command::Train(args) => commands::train::train(&args),
        Command::Eval(args) => commands::eval::eval(&args),
        Command::Report(args) => commands::report::report(&args),
        Command::Adapt(args) => commands::adapt::adapt(&args).map(|()| ExitCode::SUCCESS),
        Command::Grad(args) => commands::derivative::grad(&args).map(|()| ExitCode::SUCCESS),
        Command::Hvp(args) => commands::derivative::hvp(&args).map(|()| ExitCode::SUCCESS),
        Command::Metagrad(args) => commands::derivative::metagrad(&args).map(|()| ExitCode::SUCCESS),
        Command::Predict(args) => commands::predict::predict(&args).map(|()| ExitCode::SUCCESS),
        Command::Verify(args) => commands::verify::verify(&args),
        Command::Compare(args) => commands::compare::compare(&args),
        Command::ExportEpisode(args) => commands::export_episode::export(&args).map(|()| ExitCode::SUCCESS),
    }
}

/// The parser's message in one line: what is wrong and its tips, without the usage.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let text = text.split("\nUsage:").next().unwrap_or_default();
    let text = text.split("\nFor more information").next().unwrap_or_default();
    let text = text.trim_start_matches("error: ").trim_end().replace("\n\n  tip:", "; tip:");
    Failure::new(format_args!("{text} (see imaml --help)"))
}
