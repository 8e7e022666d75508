//! A Recovery of a damaged bank, under the chart's rights and in a restricted pod: it looks, tells, and changes nothing.

use crate::banks::NAMESPACE;
use crate::cluster::Cluster;
use crate::guardian::condition;

const RECOVERY: &str = "
apiVersion: memorybank.dev/v1alpha1
kind: Recovery
metadata: {name: look}
spec: {bankName: golden, mode: DryRun}
";

pub fn looked_at(cluster: &Cluster) {
    cluster.apply(NAMESPACE, RECOVERY);
    let told = cluster.until("the end of the Recovery", 180, || {
        let recovery = cluster.get(NAMESPACE, "mrec", "look")?;
        let ended = ["Succeeded", "Failed", "Unknown"].iter().any(|phase| recovery["status"]["phase"] == *phase);
        ended.then_some(recovery)
    });
    // Its damage is of kinds that a plan mends, or tells as such that nothing mends: it was looked at.
    let (_, reason) = condition(&told, "Succeeded");
    assert!(["PlanShown", "Damaged"].contains(&reason.as_str()), "{told:#}");
    assert!(told["status"]["planDigest"].is_string() && told["status"]["verifiedBefore"].is_string(), "{told:#}");
    assert!(told["status"]["quarantine"].is_null(), "{told:#}");
}
