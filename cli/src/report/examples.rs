//! Example tasks as pictures: what the model says of the query set before and after adaptation.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::predict::{Predictor, arg_max, softmax};
use meta::problem::QueryStatistics;
use meta::tasks::{Batch, Episode, Split, Targets};
use meta::train::{EpisodeTasks, TaskSource};

use crate::chart::{Axis, Chart, Scale, Series};
use crate::config::Config;
use crate::experiment::Experiment;
use crate::format;
use crate::report::page;

/// Tasks shown.
const TASKS: usize = 3;
/// Queries shown of each.
const QUERIES: usize = 10;

/// The first tasks of a split.
pub fn section(config: &Config, experiment: &Experiment, theta: &[f32], split: Split) -> String {
    let Experiment { stream, problem, hyper, .. } = experiment;
    let predictor = Predictor::<f32>::adapting(problem, experiment.adaptation(), &[QueryStatistics::Transductive]);
    let mut space = predictor.space();
    let source = EpisodeTasks::new(stream.as_ref(), split, 0);
    let mut episode = source.local();
    let mut html = String::new();
    let mut curves =
        Chart::new("Curves", Axis::new("x", Scale::Linear), Axis::new("y", Scale::Linear)).with_columns(TASKS);
    for task in 0..TASKS {
        let mut outputs = Vec::new();
        source.with_task(task, &mut episode, |data| {
            space.run(theta, *hyper, data, &[0, config.inner_steps], |_, _, output| outputs.push(output.to_vec()));
        });
        let [before, after] = &outputs[..] else { continue };
        match &episode.query.y {
            Targets::Classes(labels) => {
                html += &pictures(task, &episode, labels, problem.model().outputs(), before, after);
            }
            Targets::Values(values) => {
                curves = curves.with_panel(format!("task {}", task + 1), lines(&episode, values, before, after));
            }
        }
    }
    if html.is_empty() {
        let caption = format!(
            "At the query points, before and after {} on other points of the same curve.",
            format::count(config.inner_steps as u64, "step")
        );
        html = page::figure(&curves.svg(), &caption);
    }
    html
}

/// Support images with the names of their classes, query images with the answers.
fn pictures(task: usize, episode: &Episode, labels: &[u32], ways: usize, before: &[f32], after: &[f32]) -> String {
    let mut html =
        format!("<div class=\"task\">\n<h3>task {}: one example of each class</h3>\n<div class=\"row\">\n", task + 1);
    if let Targets::Classes(classes) = &episode.support.y {
        for class in 0..ways as u32 {
            let Some(row) = classes.iter().position(|&c| c == class) else { continue };
            html += &card(&episode.support, classes.len(), row, &format!("<b>{}</b>", letter(class as usize)));
        }
    }
    html += "</div>\n<h3>queries: the answer before → after adaptation</h3>\n<div class=\"row\">\n";
    // Every so many, so that all classes are seen.
    let step = labels.len().div_ceil(QUERIES).max(1);
    for (row, &label) in labels.iter().enumerate().step_by(step) {
        let answer = |outputs: &[f32]| {
            let logits = &outputs[row * ways..][..ways];
            let class = arg_max(logits);
            let probability = softmax(logits)[class];
            let (mark, what) = if class == label as usize { ("✓", "right") } else { ("✗", "wrong") };
            format!("<span class=\"{what}\">{mark} {} {:.0} %</span>", letter(class), 100.0 * probability)
        };
        let says = format!("{}<br>→ {}<br>is <b>{}</b>", answer(before), answer(after), letter(label as usize));
        html += &card(&episode.query, labels.len(), row, &says);
    }
    html + "</div>\n</div>\n"
}

/// A picture and what is said of it.
fn card(batch: &Batch, rows: usize, row: usize, says: &str) -> String {
    let pixels = batch.x.len() / rows;
    let picture = png(&batch.x[row * pixels..][..pixels]);
    format!(
        "<div class=\"card\"><img alt=\"\" src=\"data:image/png;base64,{}\">{says}</div>\n",
        STANDARD.encode(picture)
    )
}

/// A square grey picture: the smallest number is black, the largest white.
fn png(pixels: &[f32]) -> Vec<u8> {
    let side = pixels.len().isqrt();
    let (low, high) = pixels.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let grey = |&v: &f32| (255.0 * (v - low) / (high - low).max(f32::MIN_POSITIVE)).round() as u8;
    let image = image::GrayImage::from_raw(side as u32, side as u32, pixels[..side * side].iter().map(grey).collect());
    let mut file = Cursor::new(Vec::new());
    let written = image.map(|image| image.write_to(&mut file, image::ImageFormat::Png));
    written.map_or(Vec::new(), |result| result.map_or(Vec::new(), |()| file.into_inner()))
}

/// A, B, …, Z, A1, …
fn letter(class: usize) -> String {
    let letter = char::from(b'A' + (class % 26) as u8);
    if class < 26 { letter.into() } else { format!("{letter}{}", class / 26) }
}

/// A curve to fit, and the network's before and after adaptation.
fn lines(episode: &Episode, values: &[f32], before: &[f32], after: &[f32]) -> Vec<Series> {
    let line = |name: &str, y: &[f32]| {
        let mut points: Vec<(f64, f64)> =
            episode.query.x.iter().zip(y).map(|(&x, &y)| (f64::from(x), f64::from(y))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series::new(name, points)
    };
    vec![line("the curve", values), line("after adaptation", after), line("before", before)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_letters_and_pictures_are_png() {
        assert_eq!((letter(0), letter(25), letter(26)), ("A".into(), "Z".into(), "A1".into()));
        let decoded = image::load_from_memory(&png(&[0.0, 0.5, 0.25, 1.0])).unwrap().into_luma8();
        assert_eq!(decoded.into_raw(), [0, 128, 64, 255]);
    }
}
