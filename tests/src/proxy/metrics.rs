//! Prometheus' text form.

/// One reading of `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics {
    samples: Vec<(String, f64)>,
}

impl Metrics {
    pub(super) fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Metrics {
            samples: lines.filter_map(sample).collect(),
        }
    }

    /// The sum of the series of `name` that carry all of these labels; `None` where there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matching = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name
                && labels
                    .iter()
                    .all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        let values: Vec<f64> = self
            .samples
            .iter()
            .filter(|(series, _)| matching(series))
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_over_the_labels_left_open() {
        let text = "# HELP x y\nx{toggle=\"a\",table=\"t\"} 2\nx{toggle=\"a\",table=\"u\"} 3\nx{toggle=\"b\"} 5\nxy 7\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("x", &[("toggle", "a")]), Some(5.0));
        assert_eq!(metrics.sum("xy", &[]), Some(7.0));
        assert_eq!(metrics.sum("z", &[]), None);
    }
}
