//! What every chart must be: whole XML, finite numbers, texts apart.

use super::*;

fn line(name: &str, slope: f64) -> Series {
    Series::new(name, (0..40).map(|i| (f64::from(i), slope * f64::from(i))))
}

fn two_axes() -> (Axis, Axis) {
    (Axis::new("step", Scale::Linear), Axis::new("loss", Scale::Linear))
}

/// Fails unless the text is XML with balanced elements, quoted attributes and known entities.
#[track_caller]
fn is_xml(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut roots = 0;
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).next().unwrap();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "elements end in order");
        } else {
            roots += usize::from(open.is_empty());
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(!text.contains('>'), "a bare > in {text}");
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes in <{tag}>");
        for entity in tag.split('&').skip(1).chain(text.split('&').skip(1)) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|e| entity.starts_with(e)), "&{entity}");
        }
    }
    assert!(open.is_empty() && roots == 1, "left open: {open:?}, {roots} roots");
}

/// All numbers in attributes that place something.
#[track_caller]
fn numbers(svg: &str) -> Vec<f64> {
    let places = ["d", "x", "y", "cx", "cy", "r", "width", "height", "viewBox"];
    let keys = places.map(|name| format!(" {name}=\""));
    let values = keys.iter().flat_map(|key| svg.split(key.as_str()).skip(1).map(until_quote));
    let text: Vec<&str> = values.flat_map(|v| v.split([' ', 'M', 'L', 'Z'])).filter(|n| !n.is_empty()).collect();
    text.iter().map(|n| n.parse().unwrap_or_else(|_| panic!("{n} is no number"))).collect()
}

fn until_quote(text: &str) -> &str {
    text.split('"').next().unwrap()
}

#[test]
fn charts_are_whole_and_load_nothing() {
    let (x, y) = two_axes();
    let lines = vec![line("a", 1.0), line("b < c & \"d\"", 2.0), line("Ω → ∞", -1.0)];
    let one = Chart::new("One <b>panel</b>\u{7}", x.clone(), y.clone()).with_panel("", lines.clone()).svg();
    let many = (0..5).fold(Chart::new("Five", x, y).with_caption("It says <so> & more.").with_columns(2), |c, i| {
        c.with_panel(format!("κ = 10^{i}"), lines.clone())
    });
    for svg in [one, many.svg(), Chart::new("", two_axes().0, two_axes().1).svg()] {
        is_xml(&svg);
        assert!(numbers(&svg).iter().all(|n| n.is_finite() && n.abs() < 1e4));
        for loads in ["href", "url(", "@import", "<script", " id=", "src="] {
            assert!(!svg.contains(loads), "{loads}");
        }
        for has in ["role=\"img\"", "viewBox=", "<title>", "<desc>", "prefers-color-scheme:dark"] {
            assert!(svg.contains(has), "{has}");
        }
    }
}

#[test]
fn a_missing_value_is_a_gap() {
    let (x, y) = two_axes();
    let points = [(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 2.0), (4.0, f64::INFINITY), (5.0, 1.0), (6.0, 0.5)];
    let band = points.map(|(_, v)| (v - 0.5, v + 0.5));
    let svg = Chart::new("Gaps", x, y).with_panel("", vec![Series::new("a", points).with_band(band)]).svg();
    is_xml(&svg);
    assert!(numbers(&svg).iter().all(|n| n.is_finite()));
    assert_eq!(svg.matches("class=\"line s0\"").count(), 3, "three pieces");
    assert_eq!(svg.matches("class=\"band f0\"").count(), 3);
    assert_eq!(svg.matches("class=\"mark m0 f0\"").count(), 5, "of five points");
}

#[test]
fn a_logarithmic_axis_shows_what_is_positive() {
    let (x, y) = (Axis::new("steps", Scale::Log2), Axis::new("error", Scale::Log10));
    let points = [(0.0, 1.0), (1.0, 1.0), (2.0, 1e-3), (4.0, 0.0), (8.0, 1e-9)];
    let band = points.map(|(_, v)| (v - 0.5, 2.0 * v));
    let svg = Chart::new("Error", x, y).with_panel("", vec![Series::new("a", points).with_band(band)]).svg();
    is_xml(&svg);
    assert!(numbers(&svg).iter().all(|n| n.is_finite() && n.abs() < 1e4));
    assert_eq!(svg.matches("class=\"mark m0 f0\"").count(), 3, "neither x = 0 nor y = 0");
    // Equal ratios are equal distances: from 1 to 2 as far as from 4 to 8.
    let xs: Vec<f64> = svg.split(" cx=\"").skip(1).map(|t| until_quote(t).parse().unwrap()).collect();
    assert!(((xs[2] - xs[0]) - 3.0 * (xs[1] - xs[0])).abs() < 0.3, "{xs:?}");
}

#[test]
fn nothing_and_constants_are_drawn_too() {
    for (x_scale, y_scale) in [(Scale::Linear, Scale::Linear), (Scale::Log2, Scale::Log10)] {
        for points in [vec![], vec![(3.0, 3.0)], vec![(1.0, 7.0), (2.0, 7.0)], vec![(1.0, f64::NAN)]] {
            let (x, y) = (Axis::new("x", x_scale), Axis::new("y", y_scale));
            let svg = Chart::new("Few", x, y).with_panel("", vec![Series::new("a", points)]).svg();
            is_xml(&svg);
            assert!(numbers(&svg).iter().all(|n| n.is_finite() && n.abs() < 1e4), "{svg}");
        }
    }
}

#[test]
fn series_of_one_name_look_the_same_in_all_panels() {
    let (x, y) = two_axes();
    let first = vec![line("a", 1.0), line("b", 2.0)];
    let svg = Chart::new("", x, y).with_panel("1", first).with_panel("2", vec![line("b", 3.0)]).svg();
    // One line in each panel, and the legend's sample.
    assert_eq!((svg.matches("class=\"line s0\"").count(), svg.matches("class=\"line s1\"").count()), (2, 3));
}

#[test]
fn names_stand_at_the_ends_of_lines_or_above_them() {
    let chart = |lines| {
        let (x, y) = two_axes();
        Chart::new("", x, y).with_panel("", lines).svg()
    };
    let at_ends = chart(vec![line("a", 1.0), line("b", 1.01)]);
    assert_eq!(at_ends.matches("class=\"lead ").count(), 2);
    let heights: Vec<f64> = at_ends
        .split("<text class=\"name f")
        .skip(1)
        .map(|t| until_quote(t.split(" y=\"").nth(1).unwrap()).parse().unwrap())
        .collect();
    assert!((heights[0] - heights[1]).abs() >= 17.9, "{heights:?}");
    let short = Series::new("b", [(0.0, 1.0), (5.0, 2.0)]);
    assert!(!chart(vec![line("a", 1.0), short]).contains("class=\"lead "), "b ends early");
}

#[test]
fn a_fixed_range_is_kept() {
    let (x, y) = two_axes();
    let svg = Chart::new("", x, y.within(0.0, 10.0)).with_panel("", vec![line("a", 100.0)]).svg();
    let ticks: Vec<&str> = svg.split("text-anchor=\"end\">").skip(1).map(|t| t.split('<').next().unwrap()).collect();
    assert_eq!((ticks.first(), ticks.last()), (Some(&"0"), Some(&"10")));
    assert!(svg.contains("overflow=\"hidden\""));
}
