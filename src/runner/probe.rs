use futures::future::join_all;

use super::body::Body;
use super::{Exchange, Runner};
use crate::bank::FolderSecrets;
use crate::bank::reach::Probes;
use crate::domain::{Bank, Check, NetworkPart, PartSample, Reach, ReachReason, Reason};

/// The check that a probe is.
const REACH: &str = "reach";

impl<E: Exchange> Runner<E> {
    /// Asks every part of the bank that answers over the network, from where this run is. A part that does not
    /// answer was measured: its check has failed and the task succeeded. One that could not be asked leaves the
    /// task unknown. A bank without such parts has nothing to be asked.
    pub(super) async fn probe(&self, namespace: &str, bank: &Bank, body: &mut Body) -> Result<(), String> {
        let probes = Probes::new().map_err(|error| error.to_string())?;
        let secrets = FolderSecrets::new(&self.places.secrets);
        let asking = bank.network_parts().into_iter().map(|part| probes.sample(namespace, bank, part, &secrets));
        for sample in join_all(asking).await {
            take(&sample, body);
        }
        Ok(())
    }
}

fn take(sample: &PartSample, body: &mut Body) {
    let part = component(sample.part);
    match &sample.outcome {
        Reach::Reached => body.checks.push(Check::passed(REACH, part, format!("within {} ms", sample.milliseconds))),
        Reach::Missed { reason, message } if reason.measured() => {
            body.checks.push(Check::failed(REACH, part, format!("{}: {message}", reason.name())));
        }
        Reach::Missed { reason, message } => {
            body.checks.push(Check::unknown(REACH, part, format!("{}: {message}", reason.name())));
            body.unmeasured.get_or_insert_with(|| (of_task(*reason), message.clone()));
        }
    }
}

/// What checks call the part.
const fn component(part: NetworkPart) -> &'static str {
    match part {
        NetworkPart::Api => "api",
        NetworkPart::Database => "database",
        NetworkPart::VectorStore => "vectors",
    }
}

/// Why a task is unknown of which a part could not be asked.
const fn of_task(reason: ReachReason) -> Reason {
    match reason {
        ReachReason::SecretNotFound => Reason::SecretNotFound,
        ReachReason::SecretForbidden => Reason::PermissionDenied,
        _ => Reason::NotMeasured,
    }
}
