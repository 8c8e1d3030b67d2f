//! The honest baseline: no learning at all.

use super::{Episode, Targets};

/// The fraction of query rows whose nearest support row (Euclidean, on raw inputs) has their label.
///
/// Of equally near support rows the first counts. `ways` is the number of classes of the episode.
/// Anything meta-learned has to beat this: 46 % of 5-way 1-shot and 69 % of 5-way 5-shot queries on
/// Omniglot's test characters (measured here: `CharacterSplit::default()`, 1000 and 500 tasks).
///
/// ```
/// use meta::tasks::{Episode, FewShot, Glyphs, Split, TaskStream, nearest_neighbour_accuracy};
///
/// let tasks = Glyphs::new(1, FewShot { ways: 5, shots: 1, queries: 3 })?;
/// let mut episode = Episode::empty_for(tasks.shape());
/// tasks.sample(Split::Test, 0, &mut episode);
/// let accuracy = nearest_neighbour_accuracy(&episode, 5);
/// assert!((0.0..=1.0).contains(&accuracy));
/// # Ok::<(), meta::tasks::DataError>(())
/// ```
///
/// # Panics
///
/// If the episode is not a classification of `ways` classes, or has no rows.
#[track_caller]
pub fn nearest_neighbour_accuracy(episode: &Episode, ways: usize) -> f64 {
    let (Targets::Classes(support), Targets::Classes(query)) = (&episode.support.y, &episode.query.y) else {
        panic!("nearest neighbour: the episode has values, not classes");
    };
    assert!(!support.is_empty() && !query.is_empty(), "nearest neighbour: the episode has no rows");
    assert!(
        support.iter().chain(query).all(|c| (*c as usize) < ways),
        "nearest neighbour: a label is not below {ways}"
    );
    let row_len = episode.query.x.len() / query.len();
    let rows = episode.query.x.chunks_exact(row_len);
    let right = rows
        .zip(query)
        .filter(|(row, label)| {
            let mut nearest = (f32::INFINITY, 0);
            for (candidate, class) in episode.support.x.chunks_exact(row_len).zip(support) {
                let distance = squared_distance(row, candidate);
                if distance < nearest.0 {
                    nearest = (distance, *class);
                }
            }
            nearest.1 == **label
        })
        .count();
    right as f64 / query.len() as f64
}

/// ‖a − b‖²
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Batch;

    fn batch(x: &[f32], y: &[u32]) -> Batch {
        Batch { x: x.to_vec(), y: Targets::Classes(y.to_vec()) }
    }

    #[test]
    fn the_nearest_label_is_counted() {
        let episode = Episode {
            support: batch(&[0.0, 0.0, 1.0, 1.0], &[0, 1]),
            query: batch(&[0.1, 0.2, 0.9, 0.7, 0.4, 0.4, 0.5, 0.5], &[0, 1, 1, 0]),
        };
        // Right, right, wrong, and a tie that goes to the first.
        assert_eq!(nearest_neighbour_accuracy(&episode, 2), 0.75);
    }

    #[test]
    #[should_panic(expected = "not below 1")]
    fn a_label_out_of_range_is_a_mistake() {
        let episode = Episode { support: batch(&[0.0], &[0]), query: batch(&[0.0], &[1]) };
        nearest_neighbour_accuracy(&episode, 1);
    }
}
