use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

/// What became of a report that a Job sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportResult {
    /// It was stored.
    Stored,
    /// It had been stored before.
    Duplicate,
    /// It was not accepted, and would not be if it came again.
    Refused,
    /// It could not be stored now.
    Failed,
}

impl ReportResult {
    const ALL: [Self; 4] = [Self::Stored, Self::Duplicate, Self::Refused, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Numbers of the reports that Jobs send.
#[derive(Debug)]
pub struct IngestNumbers {
    reports: IntCounterVec,
}

impl IngestNumbers {
    /// Nothing counted; nothing is shown until [`IngestNumbers::start`].
    pub fn new() -> Result<Self, prometheus::Error> {
        let reports = Opts::new("memorybank_ingest_reports_total", "Reports that Jobs sent, by what became of them");
        Ok(Self { reports: IntCounterVec::new(reports, &["result"])? })
    }

    /// Shows every result, at zero: a counter that begins with its first count hides that one from a rate.
    pub fn start(&self) {
        for result in ReportResult::ALL {
            self.reports.with_label_values(&[result.name()]);
        }
    }

    /// Counts a report.
    pub fn count(&self, result: ReportResult) {
        self.reports.with_label_values(&[result.name()]).inc();
    }

    /// What is counted here, for the exposition.
    pub fn families(&self) -> Vec<MetricFamily> {
        self.reports.collect()
    }
}
