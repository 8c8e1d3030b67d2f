//! Where an axis is marked: round numbers, as many as have room.

use super::Scale;

/// The marks of an axis, and its range where they widened it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticks {
    /// Where the axis starts and ends.
    pub range: (f64, f64),
    /// Marks with texts, ascending.
    pub major: Vec<(f64, String)>,
}

impl Ticks {
    /// At most `most` marks (at least two where the scale allows) in the range; `widen` moves its ends to the next
    /// mark outside.
    pub fn new(scale: Scale, (low, high): (f64, f64), most: usize, widen: bool) -> Self {
        let spacing = Spacing::choose(scale, (low, high), most.max(2), widen);
        let (mut first, mut last) = (spacing.at_or_above(low), spacing.at_or_below(high));
        let mut range = (low, high);
        if widen {
            (first, last) = (spacing.at_or_below(low), spacing.at_or_above(high));
            range = (spacing.value(first), spacing.value(last));
        }
        let values: Vec<f64> = (first..=last).map(|i| spacing.value(i)).collect();
        let texts = texts(scale, &values, &spacing);
        Ticks { range, major: values.into_iter().zip(texts).collect() }
    }
}

/// A family of round numbers, counted by integers.
#[derive(Clone, Copy, Debug)]
enum Spacing {
    /// i · m · 10ᵉ
    Steps { m: f64, e: i32 },
    /// 1, 2, 5, 10, 20, 50, …
    OneTwoFive,
    /// base^(i · every)
    Powers { base: f64, every: i64 },
}

/// What a number may differ from a mark and still be it: rounding, in positions.
const SLACK: f64 = 1e-9;

impl Spacing {
    /// The densest one with at most `most` marks in the range.
    fn choose(scale: Scale, (low, high): (f64, f64), most: usize, widen: bool) -> Self {
        let fits = |spacing: &Spacing| {
            let (from, to) = if widen {
                (spacing.at_or_below(low), spacing.at_or_above(high))
            } else {
                (spacing.at_or_above(low), spacing.at_or_below(high))
            };
            to - from < most as i64
        };
        let powers = |base: f64| (1..).map(move |every| Spacing::Powers { base, every });
        match scale {
            Scale::Linear => {
                let e = ((high - low) / most as f64).log10().floor() as i32 - 1;
                let steps = (e..).flat_map(|e| [1.0, 2.0, 5.0].map(|m| Spacing::Steps { m, e }));
                steps.into_iter().find(fits).expect("steps grow without end")
            }
            Scale::Log10 => std::iter::once(Spacing::OneTwoFive).chain(powers(10.0)).find(fits).expect("as above"),
            Scale::Log2 => powers(2.0).find(fits).expect("as above"),
        }
    }

    fn value(self, i: i64) -> f64 {
        match self {
            // The quotient is the nearest number to the decimal one, where a product with 0.1 is not.
            Spacing::Steps { m, e } if e < 0 => i as f64 * m / 10_f64.powi(-e),
            Spacing::Steps { m, e } => i as f64 * m * 10_f64.powi(e),
            Spacing::OneTwoFive => {
                let (digit, e) = ([1.0, 2.0, 5.0][i.rem_euclid(3) as usize], i.div_euclid(3) as i32);
                if e < 0 { digit / 10_f64.powi(-e) } else { digit * 10_f64.powi(e) }
            }
            Spacing::Powers { base, every } => {
                let e = (i * every) as i32;
                if e < 0 { 1.0 / base.powi(-e) } else { base.powi(e) }
            }
        }
    }

    fn at_or_above(self, value: f64) -> i64 {
        match self {
            Spacing::Steps { m, e } => (value / (m * 10_f64.powi(e)) - SLACK).ceil() as i64,
            Spacing::Powers { base, every } => (value.ln() / (every as f64 * base.ln()) - SLACK).ceil() as i64,
            Spacing::OneTwoFive => {
                let start = 3 * (value.log10().floor() as i64) - 1;
                (start..).find(|&i| self.value(i) >= value * (1.0 - SLACK)).expect("marks grow without end")
            }
        }
    }

    fn at_or_below(self, value: f64) -> i64 {
        match self {
            Spacing::Steps { m, e } => (value / (m * 10_f64.powi(e)) + SLACK).floor() as i64,
            Spacing::Powers { base, every } => (value.ln() / (every as f64 * base.ln()) + SLACK).floor() as i64,
            Spacing::OneTwoFive => {
                let above = self.at_or_above(value);
                if self.value(above) <= value * (1.0 + SLACK) { above } else { above - 1 }
            }
        }
    }
}

/// The marks' texts, all in one style: plain numbers where they are short, powers of ten where they are not.
fn texts(scale: Scale, values: &[f64], spacing: &Spacing) -> Vec<String> {
    let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let smallest = values.iter().filter(|v| **v != 0.0).fold(f64::INFINITY, |a, v| a.min(v.abs()));
    match *spacing {
        Spacing::Powers { base, .. } if largest >= 1e5 || smallest < 1e-3 => {
            let exponent = |v: &f64| (v.ln() / base.ln()).round() as i64;
            values.iter().map(|v| format!("{base}{}", superscript(exponent(v)))).collect()
        }
        Spacing::Steps { e, .. } if !(1e-3..1e6).contains(&largest) => {
            // A common power of ten, as many digits as the step needs.
            let power = largest.log10().floor() as i32;
            let decimals = (power - e).max(0) as usize;
            let text = |v: &f64| format!("{:.decimals$}·10{}", v / 10_f64.powi(power), superscript(power.into()));
            values.iter().map(|v| if *v == 0.0 { String::from("0") } else { text(v) }).collect()
        }
        Spacing::Steps { e, .. } => {
            let decimals = (-e).max(0) as usize;
            values.iter().map(|v| grouped(&format!("{v:.decimals$}"))).collect()
        }
        _ if largest >= 1e6 || smallest < 1e-4 => {
            let power = |v: f64| v.log10().floor() as i64;
            let digit = |v: f64| (v / scale.value(power(v) as f64)).round();
            values.iter().map(|&v| format!("{}·10{}", digit(v), superscript(power(v)))).collect()
        }
        // Rust prints the shortest decimal that is the number.
        _ => values.iter().map(|v| grouped(&v.to_string())).collect(),
    }
}

/// `12,000`: thousands apart, from five digits on.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    // A true minus sign, as wide as a digit.
    let sign = if sign.is_empty() { "" } else { "−" };
    if digits.len() < 5 {
        return format!("{sign}{digits}{rest}");
    }
    let mut text = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// `⁻¹²`
fn superscript(number: i64) -> String {
    let raised = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    number.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: Scale, range: (f64, f64), most: usize) -> String {
        let ticks = Ticks::new(scale, range, most, false);
        let texts: Vec<&str> = ticks.major.iter().map(|(_, text)| text.as_str()).collect();
        texts.join(" ")
    }

    #[test]
    fn marks_are_round_numbers() {
        use Scale::{Linear, Log2, Log10};
        assert_eq!(marks(Linear, (0.0, 1.0), 6), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(marks(Linear, (0.13, 0.37), 6), "0.15 0.20 0.25 0.30 0.35");
        assert_eq!(marks(Linear, (-7.0, 12.0), 5), "−5 0 5 10");
        assert_eq!(marks(Linear, (0.0, 70_000.0), 8), "0 10,000 20,000 30,000 40,000 50,000 60,000 70,000");
        assert_eq!(marks(Linear, (0.0, 3e7), 4), "0 1·10⁷ 2·10⁷ 3·10⁷");
        assert_eq!(marks(Log10, (0.02, 30.0), 12), "0.02 0.05 0.1 0.2 0.5 1 2 5 10 20");
        assert_eq!(marks(Log10, (0.5, 20_000.0), 6), "1 10 100 1000 10,000");
        assert_eq!(marks(Log10, (1e-16, 1e2), 7), "10⁻¹⁵ 10⁻¹² 10⁻⁹ 10⁻⁶ 10⁻³ 10⁰");
        assert_eq!(marks(Log2, (1.0, 1024.0), 12), "1 2 4 8 16 32 64 128 256 512 1024");
        assert_eq!(marks(Log2, (1.0, 1024.0), 6), "1 4 16 64 256 1024");
    }

    #[test]
    fn a_widened_axis_starts_and_ends_at_marks() {
        let ticks = Ticks::new(Scale::Linear, (0.13, 0.37), 6, true);
        assert_eq!((ticks.range, ticks.major.len()), ((0.1, 0.4), 4));
        let ticks = Ticks::new(Scale::Log10, (3e-9, 40.0), 7, true);
        assert_eq!(ticks.range, (1e-10, 100.0));
        // A mark that rounding missed is no reason for another.
        let ticks = Ticks::new(Scale::Log10, (0.1 + 1e-17, 1000.0), 9, true);
        assert_eq!(ticks.range, (0.1, 1000.0));
    }

    #[test]
    fn marks_stay_few_and_in_range_on_any_axis() {
        for scale in [Scale::Linear, Scale::Log10, Scale::Log2] {
            for (low, high) in [(1e-300, 1e300), (1.0, 1.0 + 1e-6), (3.0, 4.0), (1e-5, 2e-5), (0.7, 1e9)] {
                for widen in [false, true] {
                    let ticks = Ticks::new(scale, (low, high), 7, widen);
                    assert!(ticks.major.len() <= 7, "{scale:?} {low} {high}: {ticks:?}");
                    let (from, to) = ticks.range;
                    let slack = 1e-6 * (to - from);
                    let inside = |v: f64| v >= from - slack && v <= to + slack;
                    assert!(ticks.major.iter().all(|&(v, _)| inside(v)) && inside(low) && inside(high), "{ticks:?}");
                }
            }
        }
    }
}
