use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, Luma};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::tasks::{Targets, nearest_neighbour_accuracy, testing};

const DRAWINGS: usize = 4;

const ASKED: FewShot = FewShot { ways: 2, shots: 1, queries: 2 };

/// A drawing that can be recognised: white, with a dark square whose place and shade say which.
fn png(character: usize, drawing: usize) -> Vec<u8> {
    let shade = (10 * drawing) as u8;
    let left = 10 + 4 * character as u32;
    let image = GrayImage::from_fn(105, 105, |x, y| {
        let inside = (left..left + 20).contains(&x) && (20..50).contains(&y);
        Luma([if inside { shade } else { 255 }])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The files of a part with two alphabets of `each` characters.
fn files(part: usize, each: usize) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (a, alphabet) in ["Runes", "Knots (two)"].iter().enumerate() {
        for c in 0..each {
            for d in 0..DRAWINGS {
                let path = format!("{alphabet}/character{:02}/{a}{c}_{d:02}.png", c + 1);
                files.push((path, png(part * 4 + a * each + c, d)));
            }
        }
    }
    files
}

fn write_zip(path: &Path, part: &str, files: &[(String, Vec<u8>)]) {
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    let options = SimpleFileOptions::default();
    zip.add_directory(format!("{part}/"), options).unwrap();
    zip.start_file(format!("__MACOSX/{part}/Runes/._x.png"), options).unwrap();
    for (name, bytes) in files {
        zip.start_file(format!("{part}/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn write_folder(path: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    fs::write(path.join(".DS_Store"), "x").unwrap();
}

/// Both parts as archives, `each` characters an alphabet.
fn archives(each: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (p, part) in PARTS.iter().enumerate() {
        write_zip(&folder.path().join(format!("{part}.zip")), part, &files(p, each));
    }
    folder
}

/// The one line that reading a folder fails with.
fn failure(folder: &Path) -> String {
    one_line(Omniglot::read(folder).unwrap_err())
}

fn one_line(error: DataError) -> String {
    let line = error.to_string();
    assert!(!line.contains(['\n', '\r']), "{line:?}");
    line
}

fn tasks(data: Arc<Omniglot>, asked: FewShot) -> Result<OmniglotTasks, DataError> {
    OmniglotTasks::new(data, 1, asked, CharacterSplit::Original, Rotations::Always)
}

/// 12 + 12 characters (for the splits to have some each), read once.
fn small() -> Arc<Omniglot> {
    Arc::new(Omniglot::read(archives(12).path()).unwrap())
}

#[test]
fn archives_and_folders_give_the_same_data_in_the_order_of_paths() {
    let zipped = archives(2);
    let data = Omniglot::read(zipped.path()).unwrap();
    assert_eq!(data.characters(), 8);
    assert_eq!(data.background, 4);
    let names: Vec<&str> = (0..8).map(|c| data.character_name(c)).collect();
    let part = ["Knots (two)/character01", "Knots (two)/character02", "Runes/character01", "Runes/character02"];
    assert_eq!(names, [part, part].concat());
    assert!((0..8).all(|c| data.drawings(c) == DRAWINGS));

    // Also in the layout of the repository itself.
    for inside in ["", "python"] {
        let unpacked = TempDir::new().unwrap();
        for (p, part) in PARTS.iter().enumerate() {
            write_folder(&unpacked.path().join(inside).join(part), &files(p, 2));
        }
        let same = Omniglot::read(unpacked.path()).unwrap();
        assert_eq!(same.pixels, data.pixels);
    }
}

#[test]
fn drawings_are_inverted_and_reduced() {
    let data = small();
    // Character 0 is the first of "Knots (two)", the second alphabet of `files`.
    let image = data.drawing(0, 2);
    let left = (10 + 4 * 12) as f32 * 28.0 / 105.0;
    let (inside, outside) = ((left + 2.0) as usize, 2);
    assert_eq!(image[9 * SIDE + inside], 255 - 20);
    assert_eq!(image[9 * SIDE + outside], 0);
    // Antialiasing keeps the area: 20 × 30 of 105 × 105 pixels.
    let ink: f64 = image.iter().map(|p| f64::from(*p)).sum();
    let expected = 600.0 * 235.0 * (28.0_f64 / 105.0).powi(2);
    assert!((ink / expected - 1.0).abs() < 0.02, "{ink} {expected}");
}

#[test]
fn it_keeps_the_promises_of_a_stream() {
    let data = small();
    let stream = |seed, rotations| {
        let split = CharacterSplit::Original;
        OmniglotTasks::new(Arc::clone(&data), seed, ASKED, split, rotations).unwrap()
    };
    testing::check_stream(&stream(1, Rotations::Always), &stream(2, Rotations::Always));
    testing::check_stream(&stream(1, Rotations::Training), &stream(2, Rotations::Training));
}

#[test]
fn an_episode_has_distinct_classes_and_distinct_drawings() {
    let data = small();
    let tasks = tasks(Arc::clone(&data), FewShot { ways: 8, shots: 2, queries: 2 }).unwrap();
    // Every row is found again among the turned drawings of its split.
    let mut known = Vec::new();
    for character in tasks.characters(Split::Validation) {
        for turn in 0..4 {
            for drawing in 0..DRAWINGS {
                let mut row = vec![0.0; PIXELS];
                drawing::unpack(data.drawing(*character as usize, drawing), turn, &mut row);
                known.push(((*character, turn), drawing, row));
            }
        }
    }
    let mut episode = Episode::empty_for(tasks.shape());
    for k in 0..20 {
        tasks.sample(Split::Validation, k, &mut episode);
        let mut class_of = [None; 8];
        let mut rows_seen = Vec::new();
        for batch in [&episode.support, &episode.query] {
            let Targets::Classes(labels) = &batch.y else { panic!("not classes") };
            for (row, label) in batch.x.chunks_exact(PIXELS).zip(labels) {
                let (class, drawing, _) = known.iter().find(|(.., known)| known == row).unwrap();
                let of_label = &mut class_of[*label as usize];
                assert_eq!(*of_label.get_or_insert(*class), *class);
                assert!(!rows_seen.contains(&(*class, *drawing)), "a drawing came twice");
                rows_seen.push((*class, *drawing));
            }
        }
        let mut classes = class_of.to_vec();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), 8, "two labels are one class");
    }
}

#[test]
fn splits_share_no_character_and_leave_none_out() {
    let data = small();
    for split in [CharacterSplit::Original, CharacterSplit::Permuted { seed: 3 }] {
        let parts = split.cut(&data);
        assert_eq!(parts, split.cut(&data));
        assert!(parts.iter().all(|part| !part.is_empty()));
        let mut all = parts.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..48));
    }
    let original = CharacterSplit::Original.cut(&data);
    assert_eq!(original.map(|part| part.len()), [22, 2, 24]);
    assert_ne!(CharacterSplit::Permuted { seed: 3 }.cut(&data), CharacterSplit::Permuted { seed: 4 }.cut(&data));
}

#[test]
fn what_is_missing_is_named_with_where_to_get_it() {
    let folder = TempDir::new().unwrap();
    let line = failure(&folder.path().join("nowhere"));
    assert!(line.contains("images_background.zip") && line.contains("nowhere"), "{line}");
    assert!(line.contains("github.com/brendenlake/omniglot"), "{line}");

    write_zip(&folder.path().join("images_background.zip"), PARTS[0], &files(0, 1));
    let line = failure(folder.path());
    assert!(line.contains("images_evaluation.zip"), "{line}");

    fs::create_dir(folder.path().join(PARTS[1])).unwrap();
    let line = failure(folder.path());
    assert!(line.contains("no drawings in"), "{line}");
}

#[test]
fn damaged_archives_are_errors() {
    let folder = archives(1);
    let path = folder.path().join("images_evaluation.zip");
    let whole = fs::read(&path).unwrap();
    for bytes in [&whole[..0], &whole[..whole.len() / 2], b"not an archive at all"] {
        fs::write(&path, bytes).unwrap();
        let line = failure(folder.path());
        assert!(line.contains("images_evaluation.zip is damaged"), "{line}");
    }
    // No byte, wrong or missing, may make it panic; most of them are noticed.
    let mut noticed = 0;
    for at in (0..whole.len()).step_by(23) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        if Omniglot::read(folder.path()).is_err_and(|e| !one_line(e).is_empty()) {
            noticed += 1;
        }
        fs::write(&path, &whole[..at]).unwrap();
        assert!(Omniglot::read(folder.path()).is_err());
    }
    assert!(noticed > whole.len() / 23 / 2, "{noticed}");
}

#[test]
fn damaged_drawings_are_named() {
    let good = files(0, 1);
    let file = &good[5].0;
    let whole = good[5].1.clone();
    for bytes in [Vec::new(), b"GIF89a".to_vec(), whole[..whole.len() / 2].to_vec(), whole[..40].to_vec()] {
        let mut bad = good.clone();
        bad[5].1 = bytes;
        let folder = TempDir::new().unwrap();
        write_zip(&folder.path().join("images_background.zip"), PARTS[0], &bad);
        let zipped = failure(folder.path());
        assert!(zipped.contains(&format!("images_background.zip/{file} is damaged")), "{zipped}");

        let folder = TempDir::new().unwrap();
        write_folder(&folder.path().join(PARTS[0]), &bad);
        let unpacked = failure(folder.path());
        assert!(unpacked.contains(&format!("{file} is damaged")), "{unpacked}");
    }
}

#[test]
fn more_than_there_is_cannot_be_asked() {
    let data = small();
    let refuse = |asked| one_line(tasks(Arc::clone(&data), asked).unwrap_err());
    let line = refuse(FewShot { ways: 20, ..ASKED });
    assert!(line.contains("20 ways asked of 8 classes in the validation split"), "{line}");
    let line = refuse(FewShot { shots: 3, ..ASKED });
    assert!(line.contains("3 shots + 2 queries asked of 4 drawings of"), "{line}");
    let line = refuse(FewShot { ways: 0, ..ASKED });
    assert!(line.contains("0 ways"), "{line}");
}

/// The real data, where it is; skipped elsewhere.
#[test]
fn the_real_data_has_its_known_size_and_difficulty() {
    let beside_the_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/omniglot");
    let folder = std::env::var_os("OMNIGLOT_DIR").map_or_else(|| PathBuf::from(beside_the_repository), PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no Omniglot in {} (set OMNIGLOT_DIR)", folder.display());
        return;
    }
    let data = Arc::new(Omniglot::read(&folder).unwrap());
    assert_eq!((data.characters(), data.background), (1623, 964));
    assert!((0..1623).all(|c| data.drawings(c) == 20));
    assert_eq!(data.character_name(0), "Alphabet_of_the_Magi/character01");

    let asked = FewShot { ways: 5, shots: 1, queries: 15 };
    let split = CharacterSplit::default();
    let tasks = OmniglotTasks::new(data, 1, asked, split, Rotations::default()).unwrap();
    assert_eq!(Split::ALL.map(|s| tasks.characters(s).len()), [1100, 100, 423]);
    let mut episode = Episode::empty_for(tasks.shape());
    let mean = (0..300)
        .map(|k| {
            tasks.sample(Split::Test, k, &mut episode);
            nearest_neighbour_accuracy(&episode, 5)
        })
        .sum::<f64>()
        / 300.0;
    assert!((0.38..0.55).contains(&mean), "{mean}");
}
