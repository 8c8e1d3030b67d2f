//! Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings each.

mod drawing;
mod files;

use std::path::Path;
use std::sync::Arc;

use super::random::Random;
use super::reduce::SIDE;
use super::{DataError, Episode, EpisodeShape, FewShot, Split, TaskStream};
use drawing::PIXELS;
use files::Part;

const NAME: &str = "omniglot";

/// The background set, then the evaluation set: also the order of their characters.
const PARTS: [&str; 2] = ["images_background", "images_evaluation"];

/// Characters of Omniglot, and how many of them `CharacterSplit::Permuted` gives to training and to
/// validation. A data set of another size is cut in the same proportions.
const USUAL: (usize, usize, usize) = (1623, 1100, 100);

/// The data set in memory: every drawing as 28 × 28 bytes, ink 255 on background 0 (25 MB in all).
///
/// Characters are in the order of their paths, background before evaluation, and so are the drawings
/// of one. Source: Lake, Salakhutdinov, Tenenbaum, *Human-level concept learning through
/// probabilistic program induction*, Science 2015; github.com/brendenlake/omniglot.
#[derive(Clone, Debug)]
pub struct Omniglot {
    pixels: Vec<u8>,
    characters: Vec<Character>,
    /// How many of the characters are of the background set.
    background: usize,
}

#[derive(Clone, Debug)]
struct Character {
    name: String,
    first: usize,
    drawings: usize,
}

impl Omniglot {
    /// Reads `images_background` and `images_evaluation` from a folder (or from `python` in it, as in
    /// a clone of the repository): each from its `.zip` if that is there, else unpacked.
    ///
    /// Every drawing is inverted (ink is high) and reduced to 28 × 28 by the triangle filter widened
    /// to the scale of the reduction, which antialiases. Runs on rayon's current pool.
    ///
    /// # Errors
    ///
    /// [`DataError`] when a part is missing, an archive or a drawing is damaged, or there is nothing
    /// in it. The first damaged drawing by path is named, however many threads there are.
    pub fn read(folder: &Path) -> Result<Omniglot, DataError> {
        let mut data = Omniglot { pixels: Vec::new(), characters: Vec::new(), background: 0 };
        for name in PARTS {
            data.background = data.characters.len();
            data.append(Part::open(folder, name)?)?;
        }
        Ok(data)
    }

    fn append(&mut self, part: Part) -> Result<(), DataError> {
        let mut first = self.pixels.len() / PIXELS;
        self.pixels.resize((first + part.len()) * PIXELS, 0);
        part.read_all(&mut self.pixels[first * PIXELS..])?;
        for (name, drawings) in part.characters() {
            self.characters.push(Character { name: name.to_owned(), first, drawings });
            first += drawings;
        }
        Ok(())
    }

    /// How many characters there are.
    pub fn characters(&self) -> usize {
        self.characters.len()
    }

    /// How many drawings a character has.
    pub fn drawings(&self, character: usize) -> usize {
        self.characters[character].drawings
    }

    /// A character's alphabet and folder, as `Greek/character01`.
    pub fn character_name(&self, character: usize) -> &str {
        &self.characters[character].name
    }

    /// A drawing's 28 × 28 bytes, row-major, ink 255.
    pub fn drawing(&self, character: usize, drawing: usize) -> &[u8] {
        let Character { first, drawings, .. } = self.characters[character];
        assert!(drawing < drawings, "drawing {drawing} of {drawings}");
        &self.pixels[(first + drawing) * PIXELS..][..PIXELS]
    }
}

/// Which characters are trained on, and which are only ever tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CharacterSplit {
    /// A random permutation of all 1623 characters: 1100 for training, 100 for validation, 423 for
    /// test. As in the MAML paper (Finn et al., 2017: 1200 random characters for training), with 100
    /// of the 1200 held back. The seed is not the stream's: other tasks, the same characters.
    Permuted {
        /// Seed of the permutation.
        seed: u64,
    },
    /// The authors' own: 964 background characters, the last twelfth of which is for validation,
    /// against 659 evaluation characters of alphabets never seen. Harder.
    Original,
}

impl Default for CharacterSplit {
    fn default() -> Self {
        CharacterSplit::Permuted { seed: 0 }
    }
}

impl CharacterSplit {
    /// The characters of train, validation and test.
    fn cut(self, data: &Omniglot) -> [Vec<u32>; 3] {
        let mut order: Vec<u32> = (0..data.characters() as u32).collect();
        let (train, validation) = match self {
            CharacterSplit::Permuted { seed } => {
                Random::new("omniglot split", seed, 0, 0).shuffle(&mut order);
                let (all, train, validation) = USUAL;
                (order.len() * train / all, order.len() * validation / all)
            }
            CharacterSplit::Original => {
                let validation = data.background / 12;
                (data.background - validation, validation)
            }
        };
        let test = order.split_off(train + validation);
        let validation = order.split_off(train);
        [order, validation, test]
    }
}

/// Where a character turned by 90°, 180° and 270° counts as three more classes (as in
/// the MAML paper, after Santoro et al., 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotations {
    /// Nowhere.
    Never,
    /// In training tasks only: 4400 classes for 1100 characters.
    #[default]
    Training,
    /// In all splits.
    Always,
}

impl Rotations {
    /// How many turns of a character are classes in this split.
    fn turns(self, split: Split) -> usize {
        match (self, split) {
            (Rotations::Always, _) | (Rotations::Training, Split::Train) => 4,
            _ => 1,
        }
    }
}

/// Few-shot classification of Omniglot's drawings: images `[28, 28, 1]`, ink 1 on background 0.
///
/// A task has `ways` distinct classes, and of each `shots + queries` distinct drawings.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
/// use meta::tasks::{CharacterSplit, Episode, FewShot, Omniglot, OmniglotTasks, Rotations, Split, TaskStream};
///
/// let data = Arc::new(Omniglot::read(Path::new("data/omniglot"))?);
/// let asked = FewShot { ways: 20, shots: 1, queries: 15 };
/// let tasks = OmniglotTasks::new(data, 1, asked, CharacterSplit::default(), Rotations::default())?;
/// let mut episode = Episode::empty_for(tasks.shape());
/// tasks.sample(Split::Train, 0, &mut episode);
/// # Ok::<(), meta::tasks::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OmniglotTasks {
    data: Arc<Omniglot>,
    seed: u64,
    asked: FewShot,
    rotations: Rotations,
    characters: [Vec<u32>; 3],
    shape: EpisodeShape,
}

impl OmniglotTasks {
    /// Tasks as `asked` on the characters that `characters` gives to each split.
    ///
    /// # Errors
    ///
    /// [`DataError`] when `asked` makes no task, when a split has fewer classes than ways, or a
    /// character fewer drawings than `shots + queries`.
    pub fn new(
        data: Arc<Omniglot>,
        seed: u64,
        asked: FewShot,
        characters: CharacterSplit,
        rotations: Rotations,
    ) -> Result<OmniglotTasks, DataError> {
        asked.check()?;
        let characters = characters.cut(&data);
        for (split, members) in Split::ALL.into_iter().zip(&characters) {
            let classes = members.len() * rotations.turns(split);
            if asked.ways > classes {
                return Err(DataError::TooFewClasses { split, ways: asked.ways, classes });
            }
        }
        let short = |c: &&Character| c.drawings < asked.shots + asked.queries;
        if let Some(character) = data.characters.iter().find(short) {
            return Err(DataError::TooFewDrawings {
                character: character.name.clone(),
                shots: asked.shots,
                queries: asked.queries,
                drawings: character.drawings,
            });
        }
        Ok(OmniglotTasks { data, seed, asked, rotations, characters, shape: asked.shape(SIDE, SIDE) })
    }

    /// The characters of a split, as numbers of [`Omniglot`].
    pub fn characters(&self, split: Split) -> &[u32] {
        &self.characters[split as usize]
    }
}

impl TaskStream for OmniglotTasks {
    fn shape(&self) -> &EpisodeShape {
        &self.shape
    }

    fn sample(&self, split: Split, k: u64, out: &mut Episode) {
        let rng = Random::of_task(NAME, self.seed, split, k);
        let members = self.characters(split);
        let turns = self.rotations.turns(split);
        let classes = (members.len() * turns) as u32;
        self.asked.fill(rng, classes, PIXELS, out, |class, rng, support, query| {
            let character = members[class as usize / turns] as usize;
            let turn = class as usize % turns;
            let drawings = self.data.drawings(character) as u32;
            self.asked.pick_drawings(rng, drawings, PIXELS, support, query, |drawing, row| {
                let image = self.data.drawing(character, drawing as usize);
                drawing::unpack(image, turn, row);
            });
        });
    }

    fn name(&self) -> &str {
        NAME
    }
}

#[cfg(test)]
mod tests;
