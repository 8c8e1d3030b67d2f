//! A grey image.

/// Shades from 0, black, to 255, white, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    width: usize,
    shades: Vec<u8>,
}

impl Page {
    /// With these shades.
    ///
    /// # Panics
    /// Where they make no whole rows.
    pub fn new(width: usize, shades: Vec<u8>) -> Self {
        assert!(width > 0 && !shades.is_empty() && shades.len().is_multiple_of(width), "a page of whole rows");
        Page { width, shades }
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.shades.len() / self.width
    }

    /// All pixels.
    pub fn shades(&self) -> &[u8] {
        &self.shades
    }

    /// All pixels, to be changed.
    pub fn shades_mut(&mut self) -> &mut [u8] {
        &mut self.shades
    }

    /// How many pixels have each shade.
    pub fn histogram(&self) -> [u64; 256] {
        let mut counts = [0; 256];
        self.shades.iter().for_each(|&shade| counts[usize::from(shade)] += 1);
        counts
    }
}
