//! From a file to shades.

use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbaImage};

use super::otsu::Otsu;
use super::page::Page;
use crate::failure::Failure;

/// The largest side that is read, and with it the memory that a damaged file can ask for.
const LARGEST_SIDE: u32 = 8192;

/// Alpha from which on a pixel counts as opaque.
const OPAQUE: u8 = 128;

/// Reads an image, turned as its file says, as shades.
///
/// # Errors
/// Where it cannot be read, or is larger than is read.
pub fn read(path: &Path) -> Result<Page, Failure> {
    let failed = |e: ImageError| match e {
        ImageError::IoError(e) => Failure::io("read", path, &e),
        e => Failure::new(format_args!("cannot read {}: {e}; save it as PNG or JPEG", path.display())),
    };
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = reader.map_err(|e| Failure::io("read", path, &e))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    if image.width() == 0 || image.height() == 0 {
        return Err(Failure::new(format_args!("{} has no pixels: save it again", path.display())));
    }
    image.apply_orientation(orientation);
    Ok(shades(&image.into_rgba8()))
}

/// The channel in which dark and light are furthest apart, so that blue on black is as good as black on white.
///
/// What is transparent is paper: strokes on nothing are in the alpha channel, whatever their colour. But where most of
/// what is opaque is a page with strokes on it (cut out, or with round corners), it goes on beyond its edges.
fn shades(image: &RgbaImage) -> Page {
    let strokes = || Page::new(image.width() as usize, image.pixels().map(|p| 255 - p[3]).collect());
    let opaque = image.pixels().filter(|p| p[3] >= OPAQUE).count();
    if opaque == image.pixels().len() {
        return best_channel(image).0;
    }
    let Some([left, top, right, bottom]) = opaque_box(image) else { return strokes() };
    let (width, height) = (right - left, bottom - top);
    if opaque < (width as usize * height as usize).div_ceil(2) {
        return strokes();
    }
    let paper = [0, 1, 2].map(|channel| median(image, channel));
    let mut page = image::imageops::crop_imm(image, left, top, width, height).to_image();
    for pixel in page.pixels_mut() {
        let alpha = f32::from(pixel[3]) / 255.0;
        for (shade, paper) in pixel.0.iter_mut().zip(paper) {
            *shade = (alpha * f32::from(*shade) + (1.0 - alpha) * f32::from(paper)).round() as u8;
        }
    }
    match best_channel(&page) {
        (page, true) => page,
        (_, false) => strokes(),
    }
}

/// Of red, green and blue the one of the largest variance between dark and light, and whether there are two such classes.
fn best_channel(image: &RgbaImage) -> (Page, bool) {
    let channel = |c: usize| Page::new(image.width() as usize, image.pixels().map(|p| p[c]).collect());
    let between = |page: &Page| Otsu::of(&page.histogram()).map_or(0.0, |otsu| otsu.between);
    let mut best = channel(0);
    let mut most = between(&best);
    for page in [channel(1), channel(2)] {
        let this = between(&page);
        if this > most {
            (best, most) = (page, this);
        }
    }
    (best, most > 0.0)
}

/// Left, top, right and bottom (the latter two exclusive) of what is opaque.
fn opaque_box(image: &RgbaImage) -> Option<[u32; 4]> {
    let opaque = image.enumerate_pixels().filter(|(.., p)| p[3] >= OPAQUE);
    opaque.fold(None, |bounds: Option<[u32; 4]>, (x, y, _)| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)])
    })
}

/// The median of a channel over what is opaque.
fn median(image: &RgbaImage, channel: usize) -> u8 {
    let mut values: Vec<u8> = image.pixels().filter(|p| p[3] >= OPAQUE).map(|p| p[channel]).collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    /// A cross of one colour on another.
    fn cross(ink: [u8; 4], paper: [u8; 4]) -> RgbaImage {
        RgbaImage::from_fn(20, 20, |x, y| {
            let on = (4..16).contains(&x) && (9..11).contains(&y) || (4..16).contains(&y) && (9..11).contains(&x);
            Rgba(if on { ink } else { paper })
        })
    }

    /// What Otsu's threshold makes of it: how many pixels are dark.
    fn dark(page: &Page) -> usize {
        let otsu = Otsu::of(&page.histogram()).unwrap();
        page.shades().iter().filter(|&&s| s <= otsu.threshold).count()
    }

    #[test]
    fn the_channel_of_most_contrast_is_taken() {
        for (ink, paper) in [([0, 0, 255], [0, 0, 0]), ([255, 0, 0], [0, 60, 0]), ([255, 255, 0], [255; 3])] {
            let [ink, paper] = [ink, paper].map(|[r, g, b]: [u8; 3]| [r, g, b, 255]);
            let page = shades(&cross(ink, paper));
            assert!([44, 400 - 44].contains(&dark(&page)), "{ink:?} on {paper:?}: {}", dark(&page));
        }
    }

    #[test]
    fn strokes_on_nothing_are_their_alpha() {
        for ink in [[0, 0, 0, 255], [255, 255, 255, 255], [90, 0, 200, 255]] {
            for beneath in [0, 255] {
                assert_eq!(dark(&shades(&cross(ink, [beneath, beneath, beneath, 0]))), 44);
            }
        }
    }

    #[test]
    fn a_page_goes_on_beyond_its_edges() {
        let page = cross([30, 30, 30, 255], [240, 240, 240, 255]);
        let mut cut_out = RgbaImage::from_pixel(50, 60, Rgba([0; 4]));
        image::imageops::replace(&mut cut_out, &page, 12, 30);
        for (x, y) in [(12, 30), (31, 30), (12, 49), (31, 49)] {
            cut_out.put_pixel(x, y, Rgba([0, 0, 0, 0]));
        }
        assert_eq!(shades(&cut_out), shades(&page));
    }
}
