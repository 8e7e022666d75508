use crate::domain::Digest;
use crate::engine::consistency::RepairPlan;
use crate::engine::integrity::files::{Entry, Node};

/// A file as an archive has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// In bytes.
    pub size: u64,
    /// In seconds since 1970.
    pub modified: i64,
    /// SHA-256 of its content.
    pub digest: Digest,
}

/// Whether a restored file is proven to be another than its baseline: size and time are the same and the content is not.
/// One that was changed rightfully between the two has another time.
pub fn differs(baseline: &Entry, found: Found) -> bool {
    let Node::File { size, modified } = &baseline.node else { return false };
    let same = *size == found.size && modified.as_second() == found.modified;
    same && baseline.sums.as_ref().is_some_and(|sums| sums.sha256() != found.digest)
}

/// What a restored bank is worse in than the living one was, for people: of one kind of difference between rows and points
/// more by a tenth of all live memories. A bank that drifts is restored as it was; without a comparison of the living
/// one nothing can be said.
pub fn excess(restored: &RepairPlan, living: Option<&RepairPlan>, live: u64) -> Option<String> {
    let living = living?;
    restored.steps.iter().find_map(|step| {
        let before = living.steps.iter().find(|other| other.action == step.action && other.invariant == step.invariant);
        let before = before.map_or(0, |step| step.count);
        let what = step.invariant.as_deref().unwrap_or("silent changes");
        (step.count.saturating_sub(before) > live / 10).then(|| {
            format!("restored, {} memories or points break {what}, and {before} did in the living bank", step.count)
        })
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::consistency::{Action, Repair};
    use crate::engine::integrity::files::{Sums, TreePath};

    #[test]
    fn only_content_that_no_time_explains_is_another() {
        let digest = Digest::of(b"a");
        let modified = "2026-11-22T05:00:00.7Z".parse::<Timestamp>().unwrap();
        let entry = Entry {
            path: TreePath::new(b"a").unwrap(),
            node: Node::File { size: 1, modified },
            sums: Some(Sums::one(digest)),
            compared: true,
            open: None,
        };
        let found = Found { size: 1, modified: modified.as_second(), digest };
        let other = Digest::of(b"b");
        assert!(!differs(&entry, found));
        assert!(differs(&entry, Found { digest: other, ..found }));
        assert!(!differs(&entry, Found { digest: other, modified: found.modified + 1, ..found }));
        assert!(!differs(&entry, Found { digest: other, size: 2, ..found }));
        assert!(!differs(&Entry { sums: None, ..entry }, Found { digest: other, ..found }));
    }

    #[test]
    fn a_bank_that_drifts_is_restored_as_it_was() {
        let plan = |count| RepairPlan {
            steps: vec![Repair {
                action: Action::ReEmbed,
                invariant: Some("I1".to_owned()),
                count,
                embeddings: count,
                bytes: 0,
                lossless: true,
                risk: String::new(),
            }],
        };
        assert_eq!(excess(&plan(100), None, 100), None);
        assert_eq!(excess(&plan(40), Some(&plan(30)), 100), None);
        assert!(excess(&plan(41), Some(&plan(30)), 100).unwrap().contains("41"));
        assert!(excess(&plan(11), Some(&RepairPlan::default()), 100).is_some());
    }
}
