//! A run put to use on scans of any size, polarity and colour.

use std::path::Path;

use image::imageops::{FilterType, replace, resize};
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use meta::tasks::{Episode, FewShot, Glyphs, SIDE, Split, TaskStream};
use serde_json::Value;

use super::bad_input::refuses;
use super::{TINY, bytes, folder, succeed};

/// Drawings of three characters, two of each: ink 255.
fn drawings() -> Vec<GrayImage> {
    let stream = Glyphs::new(5, FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let mut episode = Episode::empty_for(stream.shape());
    stream.sample(Split::Test, 0, &mut episode);
    let drawing = |x: &[f32]| x.iter().map(|&ink| (255.0 * ink).round() as u8).collect();
    let images = episode.query.x.chunks_exact(SIDE * SIDE).map(drawing);
    images.map(|pixels| GrayImage::from_raw(SIDE as u32, SIDE as u32, pixels).unwrap()).collect()
}

/// The drawing `times` as large, in a corner of a page with margins: ink 255.
fn enlarged(drawing: &GrayImage, times: f32) -> GrayImage {
    let side = (times * SIDE as f32) as u32;
    let mut page = GrayImage::new(side + 31, side + 90);
    replace(&mut page, &resize(drawing, side, side, FilterType::CatmullRom), 25, 60);
    page
}

/// The drawing with each shade of ink as a pixel.
fn painted<P: image::Pixel<Subpixel = u8>>(ink: &GrayImage, paint: impl Fn(u8) -> P) -> image::ImageBuffer<P, Vec<u8>> {
    image::ImageBuffer::from_fn(ink.width(), ink.height(), |x, y| paint(ink.get_pixel(x, y)[0]))
}

/// Between two shades, by ink.
fn mix(paper: u8, ink: u8, share: u8) -> u8 {
    let share = f32::from(share) / 255.0;
    (f32::from(paper) * (1.0 - share) + f32::from(ink) * share).round() as u8
}

/// A trained run and examples: one of a, two of b and c.
fn prepare(path: &Path) -> Vec<GrayImage> {
    succeed(path, &[&["train"], TINY, &["--method=maml", "--iterations=20", "--out=trained"]].concat());
    let drawings = drawings();
    for (label, drawings, shots) in [("a", &drawings[..2], 1), ("b", &drawings[2..4], 2), ("c", &drawings[4..], 2)] {
        let class = path.join("support").join(label);
        std::fs::create_dir_all(&class).unwrap();
        std::fs::write(class.join("notes.txt"), "no image").unwrap();
        for (i, drawing) in drawings[..shots].iter().enumerate() {
            drawing.save(class.join(format!("{i}.png"))).unwrap();
        }
    }
    std::fs::create_dir(path.join("query")).unwrap();
    drawings
}

const ADAPT: [&str; 4] = ["adapt", "trained", "--support=support", "--inner-steps=30"];

fn adapt(path: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&succeed(path, &[&ADAPT[..], &["--json"], more].concat())).unwrap()
}

/// The probabilities of an entry of the report.
fn probabilities(entry: &Value) -> Vec<f64> {
    entry["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).collect()
}

#[test]
fn how_a_drawing_was_scanned_does_not_change_its_label() {
    let folder = folder();
    let path = folder.path();
    let drawings = prepare(path);
    let query = path.join("query");
    let mut noise = 1_u32;
    for (i, drawing) in drawings.iter().enumerate().step_by(2) {
        let save = |image: DynamicImage, name: &str| image.save(query.join(format!("{i} {name}"))).unwrap();
        save(drawing.clone().into(), "0 as it was.png");
        save(painted(drawing, |ink| Luma([255 - ink])).into(), "inverted.png");
        save(painted(&enlarged(drawing, 3.7), |ink| Luma([255 - ink])).into(), "large.png");
        save(
            painted(&enlarged(drawing, 11.3), |ink| Luma([mix(90, 150, ink)])).into(),
            "larger, faint, light on dark.bmp",
        );
        let mut grain = |shade: u8| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            shade - 10 + (noise >> 24) as u8 % 21
        };
        let mut page: RgbImage =
            painted(&enlarged(drawing, 5.2), |ink| Rgb([mix(230, 40, ink), mix(225, 60, ink), mix(200, 160, ink)]));
        page.iter_mut().for_each(|shade| *shade = grain(*shade));
        // Dust, of fewer pixels than the pen is wide.
        page.put_pixel(3, 3, Rgb([0, 0, 0]));
        save(page.into(), "blue on yellow, grainy.jpg");
        let strokes: RgbaImage = painted(&enlarged(drawing, 4.0), |ink| Rgba([255, 255, 255, ink]));
        save(strokes.into(), "on nothing.png");
    }
    let report = adapt(path, &["--query", "query"]);
    let entries = report["query"].as_array().unwrap();
    assert_eq!(entries.len(), 18);
    for (scans, label) in entries.chunks_exact(6).zip(["a", "b", "c"]) {
        let plain = probabilities(&scans[0]);
        // Three labels, and all alike would be 1/3.
        assert!(plain.iter().any(|&p| p > 0.5), "{plain:?}");
        for scan in scans {
            let scanned = probabilities(scan);
            assert!((scanned.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!(scan["label"], label, "{scan}");
            // What is left is what enlarging and reducing blur.
            assert!(scanned.iter().zip(&plain).all(|(p, q)| (p - q).abs() < 0.1), "{scan} {plain:?}");
        }
    }
    assert_eq!((&report["support_accuracy"], &report["statistics"]), (&1.0.into(), &"inductive".into()));
    let folders: Vec<&str> =
        report["support"].as_array().unwrap().iter().map(|e| e["folder"].as_str().unwrap()).collect();
    assert_eq!(folders, ["a", "b", "b", "c", "c"]);
}

#[test]
fn each_image_is_labelled_alone_unless_asked_otherwise() {
    let folder = folder();
    let path = folder.path();
    let drawings = prepare(path);
    for (i, drawing) in drawings.iter().enumerate() {
        drawing.save(path.join(format!("query/{i}.png"))).unwrap();
    }
    let first = |more: &[&str]| probabilities(&adapt(path, more)["query"][0]);
    // The one that is least clear.
    let alone = first(&["--query", "query/1.png"]);
    let among_others = first(&["--query", "query/1.png", "query"]);
    // In single precision; sums may be in another order.
    assert!(alone.iter().zip(&among_others).all(|(p, q)| (p - q).abs() < 1e-5), "{alone:?} {among_others:?}");
    let together = first(&["--query", "query/1.png", "query", "--transductive"]);
    assert!(alone.iter().zip(&together).any(|(p, q)| (p - q).abs() > 1e-3), "{alone:?} {together:?}");

    let text = succeed(path, &[&ADAPT[..], &["--query", "query", "query/3.png", "--out=p.csv"]].concat());
    for part in ["5 examples of 3 classes", "30 steps", "5 of 5 examples", "runner-up", "query/0.png"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let csv = String::from_utf8(bytes(path, "p.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].join(",")), (8, "file,label,a,b,c".into()));
    assert_eq!((rows[1][0], rows[7][0], &rows[4][1..]), ("query/0.png", "query/3.png", &rows[7][1..]));
    let sum: f64 = rows[1][2..].iter().map(|p| p.parse::<f64>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-12, "{csv}");
}

#[test]
fn what_cannot_be_labelled_is_refused() {
    let folder = folder();
    let path = folder.path();
    let drawings = prepare(path);
    drawings[0].save(path.join("good.png")).unwrap();
    let query = |file: &str, says: &[&str]| {
        refuses(path, &[&ADAPT[..], &["--query", "good.png", file, "--out=run"]].concat(), says);
    };
    query("none.png", &["cannot read", "none.png"]);
    query("query", &["query", "no images"]);
    std::fs::write(path.join("text.png"), "a letter").unwrap();
    query("text.png", &["cannot read", "text.png"]);
    std::fs::write(path.join("scan.tif"), b"II*\0 and so on").unwrap();
    query("scan.tif", &["scan.tif", "PNG or JPEG"]);
    let whole = bytes(path, "good.png");
    std::fs::write(path.join("half.png"), &whole[..whole.len() / 2]).unwrap();
    query("half.png", &["cannot read", "half.png"]);
    GrayImage::from_pixel(40, 30, Luma([250])).save(path.join("blank.png")).unwrap();
    query("blank.png", &["blank.png", "blank"]);
    RgbaImage::new(40, 30).save(path.join("nothing.png")).unwrap();
    query("nothing.png", &["nothing.png", "blank"]);
    std::fs::write(path.join("empty.pgm"), "P5\n0 0\n255\n").unwrap();
    query("empty.pgm", &["empty.pgm", "no pixels"]);

    let good = ["--query", "good.png"];
    refuses(path, &["adapt", "trained", "--support=support"], &["--query"]);
    refuses(path, &[&ADAPT[..3], &["--inner-steps=20000"], &good].concat(), &["inner-steps is 20000"]);
    refuses(path, &[&ADAPT[..], &["--out=none/p.csv"], &good].concat(), &["cannot write", "none"]);
    refuses(path, &[&["adapt", "trained", "--support=none"][..], &good].concat(), &["cannot read none"]);
    refuses(path, &[&["adapt", "none", "--support=support"][..], &good].concat(), &["none", "imaml train"]);
    std::fs::create_dir(path.join("support/d")).unwrap();
    refuses(path, &[&ADAPT[..], &good].concat(), &["4 folders", "3 classes"]);
    std::fs::rename(path.join("support/c"), path.join("c")).unwrap();
    refuses(path, &[&ADAPT[..], &good].concat(), &["support/d", "no images"]);
    std::fs::copy(path.join("blank.png"), path.join("support/d/0.png")).unwrap();
    refuses(path, &[&ADAPT[..], &good].concat(), &["support/d/0.png", "blank"]);

    succeed(path, &["train", "sinusoid", "--iterations=1", "--out=waves"]);
    refuses(path, &[&["adapt", "waves", "--support=support"][..], &good].concat(), &["sinusoid run", "omniglot"]);
}

#[test]
fn images_are_adapted_to_with_the_solver_that_the_run_was_trained_with() {
    let folder = folder();
    let path = folder.path();
    let drawings = prepare(path);
    drawings[0].save(path.join("query/0.png")).unwrap();
    let lbfgs = ["--method=imaml", "--inner-solver=lbfgs", "--iterations=2", "--out=trained", "--force"];
    succeed(path, &[&["train"], TINY, &lbfgs].concat());
    let own = adapt(path, &["--query=query"]);
    assert_eq!((own["inner_solver"].as_str(), own["inner_lr"].is_null()), (Some("lbfgs"), true));
    let text = succeed(path, &[&ADAPT[..], &["--query=query"]].concat());
    assert!(text.contains("at most 30 steps of L-BFGS on"), "{text}");
    // Thirty steps of L-BFGS nearly solve what thirty of gradient descent begin.
    let config = String::from_utf8(bytes(path, "trained/config.toml")).unwrap();
    let other = config.replace("inner-solver = \"lbfgs\"", "inner-solver = \"gd\"\ninner-lr = 0.01");
    std::fs::write(path.join("trained/config.toml"), other).unwrap();
    let other = adapt(path, &["--query=query"]);
    let fit = |report: &Value| report["support_probability"].as_f64().unwrap();
    assert!(fit(&own) > fit(&other), "{} and {}", fit(&own), fit(&other));
}
