//! The Prometheus text format, version 0.0.4.

use super::histogram::{BOUNDS, Histogram};
use std::fmt::Write as _;

/// A page under way.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// The two comment lines of a family.
    pub(super) fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "counter", help);
        self.sample(name, &[], value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// The series of one histogram, in seconds.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut all = 0;
        let bounds = BOUNDS.iter().map(|micros| seconds(*micros)).chain(["+Inf".to_owned()]);
        for (count, bound) in histogram.counts.iter().zip(bounds) {
            all += count;
            let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&format!("{name}_bucket"), &with_bound, all);
        }
        let _ = write!(self.0, "{name}_sum");
        self.labels(labels);
        let _ = writeln!(self.0, " {}", seconds(histogram.sum_micros));
        self.sample(&format!("{name}_count"), labels, all);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (place, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{name}=\"", if place == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Microseconds as seconds, without an exponent or needless zeros.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted_and_buckets_add_up() {
        let mut page = Page::default();
        page.sample("a", &[("b", "c\"d\\e\nf")], 1);
        let mut histogram = Histogram::default();
        for micros in [1, 11, 2_500, 2_501, 99_000_000] {
            histogram.observe(micros);
        }
        page.histogram("t", &[("layer", "x")], &histogram);
        let text = page.into_text();
        for line in [
            "a{b=\"c\\\"d\\\\e\\nf\"} 1",
            "t_bucket{layer=\"x\",le=\"0.00001\"} 1",
            "t_bucket{layer=\"x\",le=\"0.0025\"} 3",
            "t_bucket{layer=\"x\",le=\"0.005\"} 4",
            "t_bucket{layer=\"x\",le=\"30\"} 4",
            "t_bucket{layer=\"x\",le=\"+Inf\"} 5",
            "t_sum{layer=\"x\"} 99.005013",
            "t_count{layer=\"x\"} 5",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
