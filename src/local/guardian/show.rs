use std::collections::BTreeMap;

use super::super::summary::{BankSummary, Summary};
use super::Guardian;
use crate::board::BankState;
use crate::domain::Phase;
use crate::resources::{Config, MemoryBankStatus};
use crate::store::BankMetrics;

impl Guardian {
    /// Puts everything on the board, for metrics.
    pub(super) async fn show(&mut self, config: &Config) {
        match tokio::try_join!(self.store.size_bytes(), self.store.oldest_event()) {
            Ok((bytes, oldest)) => self.board.store.set(bytes, oldest),
            Err(error) => tracing::warn!(%error, "metrics of the store are those of before"),
        }
        let metrics = match self.store.bank_metrics().await {
            Ok(metrics) => metrics,
            Err(error) => {
                tracing::warn!(%error, "metrics are those of before");
                return;
            }
        };
        for bank in &config.banks {
            let Some(status) = self.banks.get(&bank.meta.name).and_then(|watched| watched.status.clone()) else {
                continue;
            };
            let name = (config.namespace.clone(), bank.meta.name.clone());
            let state = state(status, bank.suspend, metrics.get(&name));
            self.board.put(name, state);
        }
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        for run in self.banks.values().flat_map(|watched| &watched.runs) {
            if run.view.phase == Phase::Held {
                *held.entry(run.view.reason.clone()).or_default() += 1;
            }
        }
        self.board.runs.set_held(held);
    }

    pub(super) fn summary(&self) -> Summary {
        let mut summary = Summary { unmeasured: self.unmeasured.clone(), ..Summary::default() };
        for run in self.banks.values().flat_map(|watched| &watched.runs) {
            if !run.view.phase.finished() {
                let why = format!("{}: {}", run.view.phase.name(), run.view.message);
                summary.unmeasured.push((run.view.name.clone(), why));
            }
        }
        for (name, watched) in &self.banks {
            let status = watched.status.clone().unwrap_or_default();
            let bank = self.config.banks.iter().find(|bank| bank.meta.name == *name);
            let waived =
                |kind: &str| bank.is_some_and(|bank| bank.waived_conditions.iter().any(|waived| waived.name() == kind));
            let false_of =
                |kind: &str| !waived(kind) && status.conditions.iter().any(|c| c.type_ == kind && c.status == "False");
            summary.broken |= ["Intact", "Consistent", "Secure"].into_iter().any(false_of);
            let findings = &watched.facts.findings;
            summary.banks.push(BankSummary {
                name: name.clone(),
                status,
                corruption: (
                    watched.facts.corruption.open,
                    watched.facts.corruption.top.iter().map(|(_, event)| event.clone()).collect(),
                ),
                findings: (findings.critical + findings.high + findings.medium + findings.low, findings.top.clone()),
            });
        }
        summary
    }
}

fn state(status: MemoryBankStatus, suspended: bool, metrics: Option<&BankMetrics>) -> BankState {
    let metrics = metrics.cloned().unwrap_or_default();
    BankState {
        status,
        suspended,
        samples: metrics.samples.into_iter().map(|sample| (sample.metric, sample.value)).collect(),
        findings: metrics.findings.into_iter().map(|(severity, state, count)| ((severity, state), count)).collect(),
        corruption: metrics.corruption_total.into_iter().collect(),
    }
}
