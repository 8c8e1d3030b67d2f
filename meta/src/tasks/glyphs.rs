//! Drawings of made-up characters: few-shot classification that needs no data.

mod alphabet;
mod pen;

use super::random::Random;
use super::reduce::SIDE;
use super::{DataError, Episode, EpisodeShape, FewShot, Split, TaskStream};
use alphabet::Character;

const NAME: &str = "glyphs";

/// Few-shot classification of drawings from a procedural alphabet of 2000 characters.
///
/// A character is 2 to 5 strokes (polylines, Bézier curves, arcs) through a grid of anchor points: a
/// pure function of its number, the same for every seed. A drawing of it moves every control point,
/// rotates, shears, stretches and shifts the whole, and picks a pen; it is rendered antialiased on
/// 28 × 28 pixels, ink 1 on background 0. The splits have characters of their own:
///
/// | split | characters |
/// |---|---|
/// | train | 0..1200 |
/// | validation | 1200..1400 |
/// | test | 1400..2000 |
///
/// The inspiration is Omniglot (Lake, Salakhutdinov, Tenenbaum, *Human-level concept learning
/// through probabilistic program induction*, Science 2015), which it is no substitute for in a
/// report: it is for learning, testing and measuring speed where there is no data. The jitter is
/// chosen such that nearest neighbour on raw pixels has 45 % of 5-way 1-shot queries right, and 67 % of
/// 5-shot ones (Omniglot's test characters: 46 % and 69 %).
///
/// ```
/// use meta::tasks::{Episode, FewShot, Glyphs, Split, Targets, TaskStream};
///
/// let tasks = Glyphs::new(1, FewShot { ways: 5, shots: 1, queries: 2 })?;
/// let mut episode = Episode::empty_for(tasks.shape());
/// tasks.sample(Split::Train, 0, &mut episode);
/// assert_eq!(tasks.shape().x, [28, 28, 1]);
/// assert_eq!(episode.query.y, Targets::Classes(vec![0, 0, 1, 1, 2, 2, 3, 3, 4, 4]));
/// # Ok::<(), meta::tasks::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Glyphs {
    seed: u64,
    asked: FewShot,
    shape: EpisodeShape,
}

impl Glyphs {
    /// Tasks as `asked`. Refuses what makes no task, and more ways than a split has characters.
    pub fn new(seed: u64, asked: FewShot) -> Result<Glyphs, DataError> {
        asked.check()?;
        for split in Split::ALL {
            let classes = Glyphs::characters(split).len();
            if asked.ways > classes {
                return Err(DataError::TooFewClasses { split, ways: asked.ways, classes });
            }
        }
        Ok(Glyphs { seed, asked, shape: asked.shape(SIDE, SIDE) })
    }

    /// The numbers of a split's characters.
    pub fn characters(split: Split) -> std::ops::Range<usize> {
        match split {
            Split::Train => 0..1200,
            Split::Validation => 1200..1400,
            Split::Test => 1400..2000,
        }
    }
}

impl TaskStream for Glyphs {
    fn shape(&self) -> &EpisodeShape {
        &self.shape
    }

    fn sample(&self, split: Split, k: u64, out: &mut Episode) {
        let rng = Random::of_task(NAME, self.seed, split, k);
        let characters = Glyphs::characters(split);
        self.asked.fill(rng, characters.len() as u32, SIDE * SIDE, out, |class, rng, support, query| {
            let character = Character::number(characters.start as u64 + u64::from(class));
            for rows in [support, query] {
                for image in rows.chunks_exact_mut(SIDE * SIDE) {
                    pen::draw(&character, rng, image);
                }
            }
        });
    }

    fn name(&self) -> &str {
        NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{nearest_neighbour_accuracy, testing};

    const ASKED: FewShot = FewShot { ways: 5, shots: 1, queries: 3 };

    #[test]
    fn it_keeps_the_promises_of_a_stream() {
        testing::check_stream(&Glyphs::new(3, ASKED).unwrap(), &Glyphs::new(4, ASKED).unwrap());
    }

    #[test]
    fn splits_share_no_character() {
        let [train, validation, test] = Split::ALL.map(Glyphs::characters);
        assert!(train.end <= validation.start && validation.end <= test.start);
        assert!(test.len() >= 400);
    }

    #[test]
    fn nearest_neighbour_is_wrong_about_half_the_time() {
        let tasks = Glyphs::new(1, ASKED).unwrap();
        let mut episode = Episode::empty_for(tasks.shape());
        let episodes = 200;
        let mean = (0..episodes)
            .map(|k| {
                tasks.sample(Split::Test, k, &mut episode);
                nearest_neighbour_accuracy(&episode, 5)
            })
            .sum::<f64>()
            / episodes as f64;
        assert!((0.38..0.57).contains(&mean), "{mean}");
    }

    #[test]
    fn tasks_have_the_same_bits_on_every_machine() {
        let fingerprint = testing::fingerprint(&Glyphs::new(1, ASKED).unwrap());
        assert_eq!(fingerprint, 0x1ee8_3564_e690_a9e7, "{fingerprint:#x}");
    }

    #[test]
    fn every_drawing_has_ink_and_paper() {
        let tasks = Glyphs::new(1, FewShot { ways: 200, ..ASKED }).unwrap();
        let mut episode = Episode::empty_for(tasks.shape());
        tasks.sample(Split::Validation, 0, &mut episode);
        for image in episode.query.x.chunks_exact(SIDE * SIDE) {
            let ink: f32 = image.iter().sum();
            assert!((20.0..400.0).contains(&ink), "{ink}");
        }
    }

    #[test]
    fn more_ways_than_characters_are_refused() {
        let line = Glyphs::new(0, FewShot { ways: 201, ..ASKED }).unwrap_err().to_string();
        assert!(line.contains("201 ways asked of 200 classes"), "{line}");
    }
}
