//! Images of characters from anywhere, as a network trained on [`Glyphs`](meta::tasks::Glyphs) or
//! [`Omniglot`](meta::tasks::Omniglot) sees drawings: 28 × 28, ink 1 on background 0.
//!
//! ```text
//! file → shades → ink and paper → a square page with margins → 28 × 28
//! file   channel, transparency     otsu, polarity, specks      place    meta's own reduction
//! ```

mod file;
mod ink;
mod list;
mod otsu;
mod page;
mod specks;

use std::path::Path;

use meta::tasks::{Filter, SIDE, reduce};

use crate::failure::Failure;
use crate::settings::Dataset;
use ink::Ink;

pub use list::{folders, images};

/// The most that a stroke's width may be of the page: twice what it is in either data set's drawings.
const BROADEST: f64 = 0.11;

/// How a data set's drawings lie on their pages, and how those became small.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The longer side of the ink's bounding box, as a share of the page: the median of the training drawings.
    span: f64,
    filter: Filter,
}

impl Look {
    /// Of drawings of this data set.
    pub fn of(dataset: Dataset) -> Self {
        match dataset {
            Dataset::Omniglot => Look { span: 0.65, filter: Filter::Triangle },
            _ => Look { span: 0.78, filter: Filter::Coverage },
        }
    }

    /// The image in a file, as the network sees it: [28, 28, 1].
    ///
    /// # Errors
    /// Where the file cannot be read, or no character stands out in it.
    pub fn read(self, path: &Path) -> Result<Vec<f32>, Failure> {
        let page = file::read(path)?;
        let nothing = || format!("{} is blank: no ink stands out in it; scan it again or leave it out", path.display());
        let page = Ink::find(&page).ok_or_else(nothing)?.on_square(self.span, BROADEST);
        let mut drawing = [0; SIDE * SIDE];
        reduce(page.shades(), page.width(), self.filter, &mut drawing);
        Ok(drawing.iter().map(|&ink| f32::from(ink) / 255.0).collect())
    }
}
