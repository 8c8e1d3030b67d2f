//! Which line is which: names at the ends of lines where they have room, in rows above the panels where not.

use super::text::width;

/// Size of the names.
const SIZE: f64 = 14.0;

/// Height of a row of names.
pub const ROW: f64 = 22.0;

/// The sample of a line in front of its name, with the space after it.
pub const SAMPLE: f64 = 42.0;

/// Rows of (x, index of the name) that fill `room`.
pub fn rows(names: &[&str], room: f64) -> Vec<Vec<(f64, usize)>> {
    const APART: f64 = 20.0;
    let mut rows: Vec<Vec<(f64, usize)>> = Vec::new();
    let mut x = f64::INFINITY;
    for (i, name) in names.iter().enumerate() {
        let wide = SAMPLE + width(name, SIZE);
        if x + wide > room {
            rows.push(Vec::new());
            x = 0.0;
        }
        rows.last_mut().expect("the first name starts a row").push((x, i));
        x += wide + APART;
    }
    rows
}

/// Room for names at the ends of lines.
pub fn widest(names: &[&str]) -> f64 {
    names.iter().map(|name| width(name, SIZE)).fold(0.0, f64::max)
}

/// Heights moved so that neighbours are at least `apart` and all lie in `from..=to`, in their order; `None` where there
/// is no room.
pub fn spread(heights: &[f64], apart: f64, from: f64, to: f64) -> Option<Vec<f64>> {
    if heights.len().saturating_sub(1) as f64 * apart > to - from {
        return None;
    }
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|&a, &b| heights[a].total_cmp(&heights[b]));
    let mut spread = heights.to_vec();
    let mut least = from;
    for &i in &order {
        spread[i] = spread[i].max(least);
        least = spread[i] + apart;
    }
    let mut most = to;
    for &i in order.iter().rev() {
        spread[i] = spread[i].min(most);
        most = spread[i] - apart;
    }
    Some(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_room_for_each_other() {
        assert_eq!(spread(&[50.0, 10.0], 15.0, 0.0, 100.0).unwrap(), [50.0, 10.0], "where they have it they stay");
        assert_eq!(spread(&[50.0, 49.0, 51.0], 15.0, 0.0, 100.0).unwrap(), [64.0, 49.0, 79.0]);
        assert_eq!(spread(&[99.0, 98.0], 15.0, 0.0, 100.0).unwrap(), [100.0, 85.0]);
        assert_eq!(spread(&[0.0; 8], 15.0, 0.0, 100.0), None);
    }

    #[test]
    fn long_names_start_new_rows() {
        let rows = rows(&["first", "second", "a third that takes much room"], 240.0);
        let indices: Vec<Vec<usize>> = rows.iter().map(|row| row.iter().map(|&(_, i)| i).collect()).collect();
        assert_eq!(indices, [vec![0, 1], vec![2]]);
    }
}
