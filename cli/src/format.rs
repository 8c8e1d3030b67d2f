//! Numbers as people read them.

use meta::predict::Measure;
use meta::train::Interval;

/// `97.1 ± 0.4 %`, or `0.312 ± 0.021` for a squared error.
pub fn interval(measure: Measure, Interval { mean, half_width }: Interval) -> String {
    match measure {
        _ if !mean.is_finite() => String::from("diverged"),
        Measure::Accuracy => format!("{:.2} ± {:.2} %", 100.0 * mean, 100.0 * half_width),
        Measure::SquaredError => format!("{mean:.4} ± {half_width:.4}"),
    }
}

/// `7:05`, or `1:07:05` from an hour on.
pub fn clock(seconds: f64) -> String {
    // Casts saturate: what is not a number is 0.
    let s = seconds.round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// `1 step`, `2 steps`
pub fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let value = Interval { mean: 0.9712, half_width: 0.0041 };
        assert_eq!(interval(Measure::Accuracy, value), "97.12 ± 0.41 %");
        assert_eq!(interval(Measure::SquaredError, value), "0.9712 ± 0.0041");
        assert_eq!((clock(65.4), clock(3725.0)), ("1:05".into(), "1:02:05".into()));
    }
}
