//! From a chart to SVG: what goes where, and the elements.

use std::fmt::Write;

use super::legend::{self, ROW, SAMPLE};
use super::style::{self, LOOKS, path};
use super::text::{escape, width, wrap};
use super::ticks::Ticks;
use super::{Axis, Chart, Panel, Series};

/// Pixels of a picture, before a page scales it.
const WIDTH: f64 = 760.0;
/// Around everything.
const MARGIN: f64 = 18.0;
/// Between panels.
const GAP: f64 = 34.0;
/// Sizes as the sheet has them.
const TEXT: f64 = 14.0;
const TICK: f64 = 13.0;
const TITLE: f64 = 18.0;
/// Height of the panels: of a single one, and of one of many.
const TALL: f64 = 330.0;
const LOW: f64 = 215.0;

/// The picture.
pub fn svg(chart: &Chart) -> String {
    let names = chart.names();
    let columns = chart.columns.min(chart.panels.len()).max(1);
    let height = if chart.panels.len() > 1 { LOW } else { TALL };
    let y = ticks(&chart.y, chart, |s| s.points().iter().map(|p| p.1).chain(ends(s)).collect(), height / 34.0, true);
    let left = MARGIN + y.major.iter().map(|(_, text)| width(text, TICK)).fold(0.0, f64::max) + 9.0;
    let names_at_ends = match &chart.panels[..] {
        [panel] if names.len() > 1 => names_at_ends(chart, panel, &y, height),
        _ => None,
    };
    let right = MARGIN + if names_at_ends.is_some() { 18.0 + legend::widest(&names) } else { 0.0 };
    let across = (WIDTH - left - right - GAP * (columns - 1) as f64) / columns as f64;
    let x = ticks(&chart.x, chart, |s| s.points().iter().map(|p| p.0).collect(), across / 52.0, false);

    let mut picture = Picture { svg: String::new(), y: MARGIN };
    for line in wrap(&chart.title, TITLE, 0.94 * (WIDTH - 2.0 * MARGIN)) {
        picture.y += 20.0;
        picture.text(MARGIN, picture.y - 4.0, "start", "title", &line);
    }
    for line in wrap(&chart.caption, TEXT, WIDTH - 2.0 * MARGIN) {
        picture.y += 19.0;
        picture.text(MARGIN, picture.y, "start", "caption", &line);
    }
    if names_at_ends.is_none() && names.len() > 1 {
        picture.y += 8.0;
        for row in legend::rows(&names, WIDTH - 2.0 * MARGIN) {
            picture.y += ROW;
            for (at, i) in row {
                picture.sample(MARGIN + at, picture.y - 5.0, i);
                picture.text(MARGIN + at + SAMPLE, picture.y, "start", "name", names[i]);
            }
        }
    }
    picture.y += 28.0;
    picture.text(MARGIN, picture.y, "start", "tick", chart.y.label());
    picture.y += 12.0;

    let frame = Frame { left, top: 0.0, width: across, height, x: &x, y: &y, axes: (&chart.x, &chart.y) };
    for (i, row) in chart.panels.chunks(columns).enumerate() {
        picture.y += if i > 0 { 12.0 } else { 0.0 };
        if row.iter().any(|panel| !panel.title.is_empty()) {
            picture.y += 14.0;
            for (i, panel) in row.iter().enumerate() {
                let at = left + i as f64 * (across + GAP);
                picture.text(at, picture.y, "start", "panel", &panel.title);
            }
            picture.y += 9.0;
        }
        for (i, panel) in row.iter().enumerate() {
            let frame = Frame { left: left + i as f64 * (across + GAP), top: picture.y, ..frame };
            picture.axes(&frame, i == 0);
            picture.lines(&frame, panel, &names);
            if let Some(heights) = &names_at_ends {
                picture.names(&frame, panel, &names, heights);
            }
        }
        picture.y += height + 24.0;
    }
    picture.y += 14.0;
    let middle = left + 0.5 * (WIDTH - left - right);
    picture.text(middle, picture.y, "middle", "tick", chart.x.label());
    picture.finish(chart, &names)
}

/// Ends of the intervals around a line.
fn ends(series: &Series) -> impl Iterator<Item = f64> {
    series.band().iter().flat_map(|&(low, high)| [low, high])
}

/// The marks of an axis for what all panels show.
fn ticks(axis: &Axis, chart: &Chart, of: impl Fn(&Series) -> Vec<f64>, most: f64, widen: bool) -> Ticks {
    let range = axis.range(chart.panels.iter().flat_map(|panel| &panel.series).flat_map(of));
    Ticks::new(axis.scale(), range, most as usize, widen && !axis.is_fixed())
}

/// Heights within the frame of names at the ends of lines, where all lines go on to about the same x and the names fit.
fn names_at_ends(chart: &Chart, panel: &Panel, y: &Ticks, height: f64) -> Option<Vec<f64>> {
    const LONGEST: f64 = 210.0;
    let (from, to) = chart.x.range(panel.series.iter().flat_map(|s| s.points().iter().map(|p| p.0)));
    let at = |v: f64| unit(&chart.x, (from, to), v);
    let last = |s: &Series| s.stretches(&chart.x, &chart.y).last().map(|stretch| s.points()[stretch.end - 1]);
    let ends: Vec<(f64, f64)> = panel.series.iter().map(last).collect::<Option<_>>()?;
    let names: Vec<&str> = panel.series.iter().map(Series::name).collect();
    if ends.iter().any(|&(x, _)| at(x) < 0.93) || legend::widest(&names) > LONGEST {
        return None;
    }
    let heights: Vec<f64> = ends.iter().map(|&(_, v)| height * (1.0 - unit(&chart.y, y.range, v))).collect();
    legend::spread(&heights, 18.0, 4.0, height - 4.0)
}

/// Where a number stands on an axis, 0 at its start and 1 at its end.
fn unit(axis: &Axis, (from, to): (f64, f64), value: f64) -> f64 {
    let [from, to, value] = [from, to, value].map(|v| axis.scale().position(v));
    (value - from) / (to - from)
}

/// A panel's place, and its axes.
#[derive(Clone, Copy)]
struct Frame<'c> {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: &'c Ticks,
    y: &'c Ticks,
    axes: (&'c Axis, &'c Axis),
}

impl Frame<'_> {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x_of(x), self.y_of(y))
    }

    fn x_of(&self, x: f64) -> f64 {
        self.left + self.width * unit(self.axes.0, self.x.range, x)
    }

    fn y_of(&self, y: f64) -> f64 {
        self.top + self.height * (1.0 - unit(self.axes.1, self.y.range, y))
    }
}

/// A picture that grows downwards.
struct Picture {
    svg: String,
    y: f64,
}

impl Picture {
    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.svg.write_fmt(element).and_then(|()| self.svg.write_char('\n')).expect("a string grows");
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let text = escape(text);
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn path(&mut self, class: &str, data: &str) {
        self.add(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    /// A short piece of a line with its marker.
    fn sample(&mut self, x: f64, y: f64, name: usize) {
        self.path(&format!("line s{}", name % LOOKS), &path([(x, y), (x + 34.0, y)].into_iter()));
        self.svg += &style::marker(name, x + 17.0, y);
    }

    /// Grid, frame and the marks' texts.
    fn axes(&mut self, frame: &Frame<'_>, first: bool) {
        let (left, top) = (frame.left, frame.top);
        let (right, bottom) = (left + frame.width, top + frame.height);
        for (value, text) in &frame.x.major {
            let x = frame.x_of(*value);
            self.path("grid", &path([(x, top), (x, bottom)].into_iter()));
            self.text(x, bottom + 18.0, "middle", "tick", text);
        }
        for (value, text) in &frame.y.major {
            let y = frame.y_of(*value);
            self.path("grid", &path([(left, y), (right, y)].into_iter()));
            if first {
                self.text(left - 8.0, y + 4.5, "end", "tick", text);
            }
        }
        self.path("frame", &path([(left, top), (left, bottom), (right, bottom)].into_iter()));
    }

    /// Bands under lines under markers, all cut off at the frame.
    fn lines(&mut self, frame: &Frame<'_>, panel: &Panel, names: &[&str]) {
        // Room for half a marker. An inner picture cuts off what leaves it, without an element that needs a name.
        const RIM: f64 = 7.0;
        let (x, y) = (frame.left - RIM, frame.top - RIM);
        let (w, h) = (frame.width + 2.0 * RIM, frame.height + 2.0 * RIM);
        let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"");
        self.add(format_args!("<svg {place} viewBox=\"{x:.1} {y:.1} {w:.1} {h:.1}\" overflow=\"hidden\">"));
        let look = |series: &Series| names.iter().position(|name| *name == series.name()).expect("every name is there");
        let (x_axis, y_axis) = frame.axes;
        let stretches = |s: &Series| s.stretches(x_axis, y_axis);
        for series in panel.series.iter().filter(|s| !s.band().is_empty()) {
            for stretch in stretches(series) {
                // What the axis cannot show lies below its start, or above its end.
                let edge = |i: usize, v: f64| {
                    let shown = if y_axis.shows(v) { frame.y_of(v) } else { frame.top + frame.height };
                    (frame.x_of(series.points()[i].0), if v == f64::INFINITY { frame.top } else { shown })
                };
                let upper = stretch.clone().map(|i| edge(i, series.band()[i].1));
                let lower = stretch.rev().map(|i| edge(i, series.band()[i].0));
                let data = path(upper.chain(lower)) + "Z";
                self.path(&format!("band f{}", look(series) % LOOKS), &data);
            }
        }
        for series in &panel.series {
            for stretch in stretches(series) {
                let points = series.points()[stretch].iter().map(|&p| frame.at(p));
                self.path(&format!("line s{}", look(series) % LOOKS), &path(points));
            }
        }
        for series in &panel.series {
            // Of many points some are marked, so that dashes are seen between them.
            let apart = if series.points().len() > 24 { 72.0 } else { 16.0 };
            let mut last: Option<(f64, f64)> = None;
            for i in stretches(series).into_iter().flatten() {
                let (px, py) = frame.at(series.points()[i]);
                if last.is_none_or(|(x, y)| (px - x).hypot(py - y) >= apart) {
                    self.svg += &style::marker(look(series), px, py);
                    last = Some((px, py));
                }
            }
        }
        self.add(format_args!("</svg>"));
    }

    /// Names at the ends of lines.
    fn names(&mut self, frame: &Frame<'_>, panel: &Panel, names: &[&str], heights: &[f64]) {
        let right = frame.left + frame.width;
        for (series, height) in panel.series.iter().zip(heights) {
            let look = names.iter().position(|name| *name == series.name()).expect("every name is there") % LOOKS;
            let stretch = series.stretches(frame.axes.0, frame.axes.1).pop().expect("a line has an end");
            let (x, y) = frame.at(series.points()[stretch.end - 1]);
            let to = frame.top + height;
            self.path(&format!("lead m{look}"), &path([(x + 5.0, y), (right + 13.0, to)].into_iter()));
            self.text(right + 16.0, to + 4.5, "start", &format!("name f{look}"), series.name());
        }
    }

    fn finish(self, chart: &Chart, names: &[&str]) -> String {
        let height = self.y + MARGIN;
        let (title, style) = (escape(&chart.title), style::sheet());
        let axes = format!("{} over {}: {}.", chart.y.label(), chart.x.label(), names.join(", "));
        let description = escape(format!("{} {axes}", chart.caption).trim());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             role=\"img\">\n<title>{title}</title>\n<desc>{description}</desc>\n<style>{style}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"6\"/>\n{}</svg>\n",
            self.svg
        )
    }
}
