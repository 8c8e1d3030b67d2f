//! Which pixels are ink, and how they are placed on a page.

use super::otsu::Otsu;
use super::page::Page;
use super::specks::{self, Specks};

/// The border that is compared to the rest: this share of the shorter side.
const BORDER: f64 = 0.02;

/// Ink that spans less of the page's longer side is dust.
const LEAST_SPAN: f64 = 0.01;

/// A drawing found on a page.
pub struct Ink {
    /// Ink 0 on paper 255, with the shades between them kept.
    page: Page,
    /// Its bounding box: left, top, right, bottom, the latter two exclusive.
    bounds: [usize; 4],
    /// Width of its strokes.
    stroke: f64,
}

impl Ink {
    /// Cuts shades by Otsu's threshold, decides which side is paper, drops specks and finds the bounding box. None where
    /// nothing stands out.
    pub fn find(page: &Page) -> Option<Ink> {
        let mut threshold = Otsu::of(&page.histogram())?.threshold;
        let mut page = page.clone();
        if paper_is_dark(&page, threshold) {
            page.shades_mut().iter_mut().for_each(|shade| *shade = 255 - *shade);
            threshold = 254 - threshold;
        }
        let mut ink: Vec<bool> = page.shades().iter().map(|&shade| shade <= threshold).collect();
        let stretch = stretch(&page.histogram(), threshold);
        page.shades_mut().iter_mut().for_each(|shade| *shade = stretch[usize::from(*shade)]);
        let Specks { stroke, erased } = specks::erase(&mut ink, page.width());
        for speck in erased {
            page.shades_mut()[speck] = 255;
        }
        let bounds = bounds(&ink, page.width())?;
        let least = (LEAST_SPAN * page.width().max(page.height()) as f64).max(2.0);
        Some(Ink { page, bounds, stroke }).filter(|ink| ink.span() as f64 >= least)
    }

    /// Pixels of the longer side of its bounding box.
    fn span(&self) -> usize {
        let [left, top, right, bottom] = self.bounds;
        (right - left).max(bottom - top)
    }

    /// In the middle of a square page, of which the longer side of its bounding box has the share `span`: less where its
    /// strokes would have more than the share `stroke`, as those of a dot would.
    pub fn on_square(&self, span: f64, stroke: f64) -> Page {
        let side = (self.span() as f64 / span).max(self.stroke / stroke).round() as usize;
        let [left, top, right, bottom] = self.bounds;
        // Where the square's corner lies on the page; it may be outside. Halves of pixels are cut off.
        let corner = |low: usize, high: usize| ((low + high) as isize - side as isize).div_euclid(2);
        let (x0, y0) = (corner(left, right), corner(top, bottom));
        let (width, height) = (self.page.width() as isize, self.page.height() as isize);
        let mut square = vec![255; side * side];
        let columns = x0.max(0)..(x0 + side as isize).min(width);
        for y in y0.max(0)..(y0 + side as isize).min(height) {
            let row = |x: isize| (y * width + x) as usize;
            let to = ((y - y0) * side as isize + columns.start - x0) as usize;
            let from = &self.page.shades()[row(columns.start)..row(columns.end)];
            square[to..to + from.len()].copy_from_slice(from);
        }
        Page::new(side, square)
    }
}

/// Paper is what has the larger part of the border and of the whole, the whole counting twice.
///
/// A border alone errs where a drawing is cropped to its ink or a scanner adds a dark frame; most of the whole alone errs
/// where a pen is very broad. Together they err where both do.
fn paper_is_dark(page: &Page, threshold: u8) -> bool {
    let (width, height) = (page.width(), page.height());
    let frame = ((BORDER * width.min(height) as f64) as usize).max(1);
    let (mut border, mut whole) = ([0_u64; 2], [0_u64; 2]);
    for (y, row) in page.shades().chunks_exact(width).enumerate() {
        for (x, &shade) in row.iter().enumerate() {
            let dark = usize::from(shade <= threshold);
            whole[dark] += 1;
            let near = |at: usize, end: usize| at < frame || at + frame >= end;
            border[dark] += u64::from(near(x, width) || near(y, height));
        }
    }
    let dark = |[light, dark]: [u64; 2]| dark as f64 / (light + dark) as f64;
    dark(border) + 2.0 * dark(whole) > 1.5
}

/// Shades made to go from 0, full ink, to 255, paper; between them linear, so that an antialiased edge stays where it is.
///
/// Full ink is the darkest quarter of what is below the threshold: of a scan's broad strokes any part would do, of thin
/// ones most pixels are edges. Paper is all but the darkest tenth of the rest, so that its grain does not count.
fn stretch(histogram: &[u64; 256], threshold: u8) -> [u8; 256] {
    let threshold = usize::from(threshold);
    let quantile = |shades: std::ops::RangeInclusive<usize>, share: f64| {
        let wanted = share * histogram[shades.clone()].iter().sum::<u64>() as f64;
        let mut seen = 0;
        let reached = |&shade: &usize| {
            seen += histogram[shade];
            seen as f64 > wanted
        };
        let end = *shades.end();
        shades.into_iter().find(reached).unwrap_or(end) as f64
    };
    let (ink, paper) = (quantile(0..=threshold, 0.25), quantile(threshold + 1..=255, 0.1));
    std::array::from_fn(|shade| (255.0 * ((shade as f64 - ink) / (paper - ink)).clamp(0.0, 1.0)).round() as u8)
}

fn bounds(ink: &[bool], width: usize) -> Option<[usize; 4]> {
    let pixels = ink.iter().enumerate().filter(|(_, ink)| **ink).map(|(i, _)| (i % width, i / width));
    pixels.fold(None, |bounds: Option<[usize; 4]>, (x, y)| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of paper with a box of ink on it.
    fn page(width: usize, height: usize, [left, top, right, bottom]: [usize; 4], ink: u8, paper: u8) -> Page {
        let shade = |i: usize| {
            let (x, y) = (i % width, i / width);
            if (left..right).contains(&x) && (top..bottom).contains(&y) { ink } else { paper }
        };
        Page::new(width, (0..width * height).map(shade).collect())
    }

    #[test]
    fn ink_is_found_whatever_its_polarity() {
        for (ink, paper) in [(0, 255), (255, 0), (90, 160), (160, 90), (20, 40)] {
            let found = Ink::find(&page(30, 20, [3, 4, 9, 16], ink, paper)).unwrap();
            assert_eq!((found.bounds, found.span()), ([3, 4, 9, 16], 12));
            assert_eq!(found.page, page(30, 20, [3, 4, 9, 16], 0, 255), "{ink} on {paper}");
        }
    }

    #[test]
    fn polarity_does_not_hang_on_the_border_alone() {
        // Broad: more ink than paper, with a margin. A frame: the border is ink, and little else.
        assert!(!paper_is_dark(&page(20, 20, [2, 2, 18, 18], 0, 255), 100));
        assert!(!paper_is_dark(&page(40, 40, [1, 1, 39, 39], 255, 0), 100));
        assert!(paper_is_dark(&page(20, 20, [8, 0, 11, 20], 255, 0), 100));
    }

    #[test]
    fn a_square_page_has_margins_of_paper() {
        // Ink in a corner: most of the square lies outside of the page.
        let ink = Ink::find(&page(30, 20, [0, 0, 6, 12], 0, 255)).unwrap();
        assert_eq!(ink.on_square(0.6, 1.0), page(20, 20, [7, 4, 13, 16], 0, 255));
        // Ink that fills its page in one direction, and a square smaller than the page.
        let ink = Ink::find(&page(40, 10, [15, 0, 19, 10], 255, 0)).unwrap();
        assert_eq!(ink.on_square(0.5, 1.0), page(20, 20, [8, 5, 12, 15], 0, 255));
    }

    #[test]
    fn a_dot_stays_a_dot_and_dust_is_nothing() {
        let dot = Ink::find(&page(60, 60, [30, 40, 36, 46], 0, 255)).unwrap();
        // Its width is 2 · 36 / (π/4 · 24) = 3.8: of a page of 38 a tenth.
        assert_eq!(dot.on_square(0.6, 0.1), page(38, 38, [16, 16, 22, 22], 0, 255));
        assert!(Ink::find(&page(60, 60, [30, 40, 31, 41], 0, 255)).is_none());
        assert!(Ink::find(&page(500, 60, [30, 40, 34, 44], 0, 255)).is_none());
    }

    #[test]
    fn grain_is_neither_ink_nor_in_the_way() {
        let mut grainy = page(60, 60, [20, 10, 28, 50], 40, 200);
        for (i, shade) in grainy.shades_mut().iter_mut().enumerate() {
            *shade = shade.wrapping_add((i * i * 31 % 23) as u8);
        }
        grainy.shades_mut()[5 * 60 + 55] = 0;
        let found = Ink::find(&grainy).unwrap();
        assert_eq!(found.bounds, [20, 10, 28, 50]);
        let light = found.page.shades().iter().filter(|&&s| s > 240).count();
        assert!(light > 3200, "{light} of 3280 pixels are paper");
        assert!(Ink::find(&page(30, 20, [0; 4], 0, 255)).is_none());
    }
}
