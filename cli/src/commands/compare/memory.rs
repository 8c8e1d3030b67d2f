//! Memory and time of meta-gradients over inner steps: what is planned, and what a process of its own took.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Unrolled};
use meta::problem::FewShot;
use serde_json::Value;

use super::accuracy::doublings;
use crate::failure::Failure;
use crate::memory;
use crate::model;

/// What one method took for one number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The method's name.
    pub method: &'static str,
    /// Inner steps.
    pub steps: usize,
    /// [`Method::bytes`]
    pub planned: usize,
    /// What a process took, where it was run.
    pub run: Option<Run>,
    /// Why it was not.
    pub note: String,
}

/// What the process said of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its largest resident memory, where the system tells.
    pub peak_rss: Option<u64>,
    /// Times of one meta-gradient, ascending.
    pub seconds: Vec<f64>,
}

impl Run {
    /// The time in the middle.
    pub fn median(&self) -> f64 {
        let n = self.seconds.len();
        0.5 * (self.seconds[(n - 1) / 2] + self.seconds[n / 2])
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Classes of the task.
    pub ways: usize,
    /// Support and query examples of each.
    pub shots: usize,
    /// Planned for 1, 2, 4, … up to this many steps.
    pub planned: usize,
    /// Measured up to this many, by method in the order of [`NAMES`].
    pub measured: [usize; 4],
    /// Times taken at each point.
    pub repeat: usize,
}

/// What the methods are called.
pub const NAMES: [&str; 4] = ["MAML", "MAML (10 checkpoints)", "first-order MAML", "implicit (5 CG)"];

/// Checkpoints and CG iterations, as the names say.
const CHECKPOINTS: usize = 10;
const CG: usize = 5;

impl Extent {
    /// The network.
    pub fn model(&self) -> String {
        format!("conv4:channels=64,stride=2,ways={},image=1x28x28", self.ways)
    }

    /// Compiles a method for its memory alone.
    fn plan(&self, method: usize, steps: usize) -> Result<usize, Failure> {
        let model = model::parse(&self.model())?;
        let rows = self.ways * self.shots;
        // As `imaml metagrad` has it: the prox term for the implicit method only.
        let problem = FewShot::new(model, rows, rows, method == 3);
        let method: Box<dyn Method<f32>> = match method {
            0 => Box::new(Unrolled::new(&problem, steps, Keep::Everything)),
            1 => Box::new(Unrolled::new(&problem, steps, Keep::Checkpoints(CHECKPOINTS))),
            2 => Box::new(FirstOrder::new(&problem, steps)),
            _ => Box::new(Implicit::new(&problem, InnerStop::Steps(steps), Box::new(Cg::iterations(CG)))),
        };
        Ok(method.bytes())
    }

    fn arguments(&self, method: usize) -> Vec<String> {
        match method {
            0 => vec!["--method=maml".into()],
            1 => vec!["--method=maml".into(), format!("--checkpoints={CHECKPOINTS}")],
            2 => vec!["--method=fomaml".into()],
            _ => vec!["--method=imaml".into(), format!("--cg-steps={CG}")],
        }
    }
}

/// Measures point by point, each said to `each` at once; `None` where `stop` was raised.
///
/// # Errors
/// Where a process fails, with what it said.
pub fn measure(
    extent: &Extent,
    stop: &AtomicBool,
    mut each: impl FnMut(&Taken),
) -> Result<Option<Vec<Taken>>, Failure> {
    let folder = TemporaryFolder::new()?;
    let episode = folder.0.join("episode.safetensors");
    let stopped = || stop.load(Ordering::Relaxed);
    let Some(_) = child(&export(extent, &episode), stopped)? else { return Ok(None) };
    let mut found = Vec::new();
    for (method, name) in NAMES.into_iter().enumerate() {
        for steps in doublings(extent.planned) {
            if stopped() {
                return Ok(None);
            }
            let planned = extent.plan(method, steps)?;
            let mut taken = Taken { method: name, steps, planned, run: None, note: String::new() };
            if steps > extent.measured[method] {
                taken.note = "planned only".into();
            } else if let Err(refused) = memory::check("it", planned as u64, "planned only") {
                taken.note = refused.to_string();
            } else {
                let file = episode.display().to_string();
                let mut arguments: Vec<String> =
                    ["metagrad", &file, "--model", &extent.model(), "--inner-lr=0.1", "--json"]
                        .map(String::from)
                        .into();
                arguments.extend(extent.arguments(method));
                arguments.extend([format!("--inner-steps={steps}"), format!("--repeat={}", extent.repeat)]);
                let Some(said) = child(&arguments, stopped)? else { return Ok(None) };
                taken.run = Some(understand(&said, planned)?);
            }
            each(&taken);
            found.push(taken);
        }
    }
    Ok(Some(found))
}

fn export(extent: &Extent, episode: &Path) -> Vec<String> {
    let Extent { ways, shots, .. } = extent;
    let (model, out) = (format!("--model={}", extent.model()), format!("--out={}", episode.display()));
    let sizes = [format!("--ways={ways}"), format!("--shots={shots}"), format!("--queries={shots}")];
    [&["export-episode".into(), "glyphs".into(), "--tasks=1".into(), model, out][..], &sizes].concat()
}

/// What `imaml metagrad --json` said.
fn understand(said: &str, planned: usize) -> Result<Run, Failure> {
    let wrong = || Failure::new(format_args!("imaml metagrad answered what cannot be read: {said}"));
    let said: Value = serde_json::from_str(said).map_err(|_| wrong())?;
    let times = said["seconds"].as_array().ok_or_else(wrong)?.iter().map(Value::as_f64);
    let mut seconds = times.collect::<Option<Vec<f64>>>().filter(|s| !s.is_empty()).ok_or_else(wrong)?;
    seconds.sort_by(f64::total_cmp);
    if said["plan_bytes"].as_u64() != Some(planned as u64) {
        return Err(format!("a process planned {} bytes where {planned} are", said["plan_bytes"]).into());
    }
    Ok(Run { peak_rss: said["peak_rss_bytes"].as_u64(), seconds })
}

/// Runs this program in a process of its own; what it printed, or `None` where it ended because all is to stop.
fn child(arguments: &[String], stopped: impl Fn() -> bool) -> Result<Option<String>, Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::new(format_args!("cannot find this program: {e}")))?;
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| Failure::io("run", &program, &e))?;
    if stopped() {
        return Ok(None);
    }
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let error = error.trim_start_matches("imaml: ");
        let (command, status) = (&arguments[0], output.status);
        return Err(Failure::new(format_args!("imaml {command} in a process of its own: {status} {error}")));
    }
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A folder that is gone when this is.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("imaml-compare-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|e| Failure::io("make", &path, &e))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed from the system's temporary folder is the system's.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
