//! How lines look: colours for light and dark, dashes, markers.

use std::fmt::Write;

/// Looks before they repeat.
pub const LOOKS: usize = 8;

/// Colours on light and on dark ground: apart in hue and in lightness, each at least 3 : 1 against its ground.
const COLOURS: [(&str, &str); LOOKS] = [
    ("#1763a6", "#6fb3f2"),
    ("#c2490a", "#f4935a"),
    ("#0f7f58", "#4fcb9d"),
    ("#7d46ad", "#c59bec"),
    ("#b8306f", "#f288b9"),
    ("#846200", "#dfb63c"),
    ("#0b7285", "#55c8dc"),
    ("#545b66", "#adb5c0"),
];

const DASHES: [&str; LOOKS] = ["", "9 4", "2.5 3", "10 3 2.5 3", "", "6 3", "14 4", "2.5 3 2.5 7"];

/// The sheet of one chart. Its rules name the class `chart`, so that they leave the rest of a page alone.
pub fn sheet() -> String {
    let mut sheet = String::from(
        ".chart{--ground:#fff;--text:#1c2026;--muted:#59616d;--grid:#e3e6eb;--frame:#b9c0ca}\
         .chart{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
         .chart text{fill:var(--text);font-size:14px}\
         .chart .title{font-size:18px;font-weight:600}.chart .panel{font-weight:600}\
         .chart .caption,.chart .tick{fill:var(--muted)}.chart .tick{font-size:13px}\
         .chart .name{font-weight:500}\
         .chart .ground{fill:var(--ground)}.chart .grid{stroke:var(--grid);fill:none}\
         .chart .frame{stroke:var(--frame);fill:none}\
         .chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
         .chart .lead{fill:none;stroke-width:1;opacity:.55}.chart .band{stroke:none;opacity:.17}\
         .chart .mark{stroke-width:1.6;stroke-linejoin:round}.chart .hollow{fill:var(--ground)}",
    );
    let mut dark = String::from("--ground:#15181d;--text:#e8ebf0;--muted:#a2abb8;--grid:#2b3038;--frame:#565e6a");
    for (i, (light, on_dark)) in COLOURS.iter().enumerate() {
        let dashes = DASHES[i];
        write!(sheet, ".chart{{--c{i}:{light}}}.chart .s{i}{{stroke:var(--c{i});stroke-dasharray:{}}}", none(dashes))
            .and_then(|()| write!(sheet, ".chart .f{i}{{fill:var(--c{i})}}.chart .m{i}{{stroke:var(--c{i})}}"))
            .and_then(|()| write!(dark, ";--c{i}:{on_dark}"))
            .expect("a string grows");
    }
    format!("{sheet}@media (prefers-color-scheme:dark){{.chart{{{dark}}}}}")
}

fn none(dashes: &str) -> &str {
    if dashes.is_empty() { "none" } else { dashes }
}

/// The marker of a look around a point, as an element: filled ones and hollow ones in turn.
pub fn marker(look: usize, x: f64, y: f64) -> String {
    let look = look % LOOKS;
    let fill = if look.is_multiple_of(2) { format!("f{look}") } else { String::from("hollow") };
    let outline = match look {
        0 | 1 => return format!("<circle class=\"mark m{look} {fill}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>\n"),
        2 | 3 => polygon(x, y, &[(-3.4, -3.4), (3.4, -3.4), (3.4, 3.4), (-3.4, 3.4)]),
        4 | 5 => polygon(x, y, &[(0.0, -4.6), (4.3, 3.2), (-4.3, 3.2)]),
        _ => polygon(x, y, &[(0.0, -5.0), (4.2, 0.0), (0.0, 5.0), (-4.2, 0.0)]),
    };
    format!("<path class=\"mark m{look} {fill}\" d=\"{outline}\"/>\n")
}

fn polygon(x: f64, y: f64, corners: &[(f64, f64)]) -> String {
    path(corners.iter().map(|(dx, dy)| (x + dx, y + dy))) + "Z"
}

/// Path data through points.
pub fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut data = String::new();
    for (i, (x, y)) in points.enumerate() {
        write!(data, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' }).expect("a string grows");
    }
    data
}
