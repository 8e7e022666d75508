use std::fmt::Write as _;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// Prometheus' text format (prometheus.io, "Text-based format"), written as it is sent: a thousand banks
/// have tens of thousands of series, and a second form of them in memory would cost more than the banks.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A family of which samples are written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    help: &'static str,
    kind: Kind,
    begun: bool,
}

impl Text {
    /// Begins a family. Its head is written with its first sample: one without samples does not show.
    pub fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) -> Family<'_> {
        Family { text: &mut self.0, name, help, kind, begun: false }
    }

    /// What was written.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Writes a sample: label names with their values.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let name = self.name;
        if !self.begun {
            self.begun = true;
            let kind = match self.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            // Writing to a String cannot fail.
            let _ = write!(self.text, "# HELP memorybank_{name} {}\n# TYPE memorybank_{name} {kind}\n", self.help);
        }
        let _ = write!(self.text, "memorybank_{name}");
        for (index, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            escape(self.text, value);
            self.text.push('"');
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_under_their_head_with_escaped_labels() {
        let mut text = Text::default();
        let mut family = text.family(Kind::Counter, "slots_total", "Slots");
        family.sample(&[("a", "x\"\\\n"), ("b", "ä")], 3.0);
        family.sample(&[], 0.5);
        text.family(Kind::Gauge, "nothing", "Not seen");
        assert_eq!(
            text.into_string(),
            "# HELP memorybank_slots_total Slots\n# TYPE memorybank_slots_total counter\n\
             memorybank_slots_total{a=\"x\\\"\\\\\\n\",b=\"ä\"} 3\nmemorybank_slots_total 0.5\n"
        );
    }
}
