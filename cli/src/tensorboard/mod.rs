//! The metrics of a run as an event file, which TensorBoard draws: `tensorboard --logdir runs --load_fast=false`.
//!
//! The file is a list of TFRecords ([`record`]), each the protocol buffer of an `Event` ([`event`]): first one that
//! names the format, then one for every row of the metrics, its step the iteration, with
//!
//! - `train/…` and `solver/…`: the [`QUANTITIES`] under their names in metrics.jsonl;
//! - `validation/accuracy` or `validation/mse`, and the bounds of its 95 % interval, `…_lower` and `…_upper`; with batch
//!   normalisation also `validation/inductive_…`, each query classified alone.
//!
//! The format holds single precision: a value is the metric rounded to that, and NaN where it was not finite.
//!
//! **Time** starts at 0, which is 1970: `wall_time` is the seconds of training, the very number of metrics.jsonl. So the
//! file is a function of the metrics and nothing else; it is the same after an interruption however long that was, and
//! runs lie over each other on TensorBoard's time axes, relative and wall, by how long they trained.
//!
//! **Following a run** needs `--load_fast=false`: a save replaces the file, which TensorBoard's fast loader, once it has
//! opened it, does not notice; the other one reads by name. After the run either shows everything.

use serde_json::Value;

use crate::metrics::{QUANTITIES, Row};

mod event;
mod record;

#[cfg(test)]
#[path = "../../tests/program/event_file.rs"]
mod event_file;

/// When every run starts, in seconds since 1970.
const START: f64 = 0.0;

/// The event file.
pub fn to_bytes(rows: &[Row]) -> Vec<u8> {
    let mut file = Vec::new();
    record::push(&mut file, &event::version(START));
    for row in rows {
        record::push(&mut file, &event::scalars(START + row.seconds, row.iteration, &scalars(row)));
    }
    file
}

fn scalars(row: &Row) -> Vec<(String, f32)> {
    let mut scalars = Vec::new();
    for (quantity, value) in QUANTITIES.iter().zip(&row.logged) {
        if let (Some(group), Some(value)) = (quantity.group, value) {
            scalars.push((format!("{group}/{}", quantity.key), number(value) as f32));
        }
    }
    for result in row.validation.iter().flat_map(|validation| &validation.results) {
        let (tag, mean, half_width) =
            (format!("validation/{}", result.name), number(&result.mean), number(&result.half_width));
        scalars.push((format!("{tag}_lower"), (mean - half_width) as f32));
        scalars.push((format!("{tag}_upper"), (mean + half_width) as f32));
        scalars.push((tag, mean as f32));
    }
    scalars
}

/// What JSON cannot say is null there.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::event_file::read;
    use super::*;
    use crate::metrics::{rows, tests::LINES};

    #[test]
    fn an_independent_reader_finds_every_number() {
        let events = read(&to_bytes(&rows(LINES))).unwrap();
        assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
        let heads: Vec<_> = events.iter().map(|e| (e.step, e.wall_time)).collect();
        assert_eq!(heads, [(0, 0.0), (1, 0.1), (2, 0.25), (3, 0.5)]);
        let scalars = |event: usize| {
            let mut values: Vec<_> = events[event].values.iter().map(|(tag, v)| format!("{tag} {v}")).collect();
            values.sort();
            values
        };
        assert_eq!(scalars(0), [""; 0]);
        assert_eq!(scalars(1), ["solver/delta NaN", "solver/products 80", "train/query_loss 0.3"]);
        let validation = [
            "validation/accuracy 1",
            "validation/accuracy_lower 1",
            "validation/accuracy_upper 1",
            "validation/inductive_accuracy 0.25",
            "validation/inductive_accuracy_lower 0.1875",
            "validation/inductive_accuracy_upper 0.3125",
        ];
        assert_eq!(scalars(3), validation);
        assert_eq!(events[2].values.len(), 9);
    }

    #[test]
    fn the_reader_finds_every_damage() {
        let file = to_bytes(&rows(LINES));
        for i in 0..file.len() {
            let mut damaged = file.clone();
            damaged[i] ^= 1 << (i % 8);
            assert!(read(&damaged).is_err(), "byte {i}");
        }
        assert!(read(&file[..file.len() - 1]).is_err());
    }
}
