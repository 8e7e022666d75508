use super::compare::Compared;
use crate::domain::{Check, Output};
use crate::engine::consistency::baseline::Share;
use crate::engine::consistency::{Fault, Pass, RANGES, RepairPlan, Totals};

/// How far a comparison came.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// What kept it from its end.
    pub broken: Option<String>,
    /// What kept suspects from being looked at again.
    pub unconfirmed: Option<String>,
    /// What kept it from the baseline.
    pub baseline: Option<String>,
    /// Ranges whose rows are others by the index than by the table.
    pub disagreeing: usize,
    /// The check that says more of that.
    pub index_check: &'static str,
    /// Ranges that were read.
    pub chosen: usize,
    /// Whether there was no baseline yet.
    pub first: bool,
    /// Entries for which the baseline had no room.
    pub cut: u64,
    pub coverage: Option<u8>,
    pub totals: Totals,
    pub outputs: Vec<Output>,
}

/// What the comparison comes to. What could not be looked at to its end is unknown, whatever was seen of it.
pub(super) fn report(pass: &Pass<'_>, read: Read, share: Share) -> Compared {
    let index = (read.disagreeing > 0).then(|| {
        format!(
            "the index of memories.id does not agree with its table in {} ranges: see {}",
            read.disagreeing, read.index_check
        )
    });
    // What is found in ranges that the baseline does not mark as open would be taken for mended by the next run, which
    // may read others. Without any index the next run reads all.
    let marks = read.baseline.as_ref().filter(|_| !read.first);
    let broken = read.broken.as_ref().or(index.as_ref()).or(marks);
    let events = if broken.is_some() { Vec::new() } else { pass.tally.events(read.totals) };
    let compared = format!(
        "{} rows and {} points compared, {} of {RANGES} ranges; {} changed too lately to be judged",
        pass.rows, pass.points, read.chosen, pass.young
    );
    let cut = (read.cut > 0).then(|| format!("the baseline has no room for {} points or rows", read.cut));
    let unchanged = if read.first {
        "first baseline: nothing to compare with yet (trust on first use)".to_owned()
    } else {
        compared.clone()
    };
    let checks = Fault::CHECKS.map(|(id, component)| {
        let change = [Fault::PointChanged, Fault::RowChanged].iter().any(|fault| fault.check() == id);
        let (trouble, detail) = if change {
            (broken.or(read.baseline.as_ref()).or(cut.as_ref()), &unchanged)
        } else {
            (broken.or(read.unconfirmed.as_ref()), &compared)
        };
        match trouble {
            Some(trouble) => Check::unknown(id, component, trouble.clone()),
            None if events.iter().any(|event| event.check == id) => Check::failed(id, component, detail.clone()),
            None => Check::passed(id, component, detail.clone()),
        }
    });
    let whole = broken.is_none() && read.baseline.is_none();
    Compared {
        checks: checks.into(),
        plan: if events.is_empty() { RepairPlan::default() } else { RepairPlan::new(&pass.tally, read.totals) },
        corruption: events,
        coverage_percent: match share {
            _ if broken.is_some() => None,
            Share::All => Some(100),
            Share::Percent(_) => read.coverage.filter(|_| whole),
        },
        outputs: if whole { read.outputs } else { Vec::new() },
    }
}
