use super::{BadLeaves, Beginning, Difference, LEAF};

impl Difference {
    /// What proves it, for people; `size` is the file's length in the manifest.
    pub fn evidence(&self, size: u64) -> String {
        match self {
            Self::Missing => format!("missing: the manifest has it with {size} bytes"),
            Self::Extra => format!("extra: {size} bytes that the manifest does not have"),
            Self::Replaced => "changed: another kind of file, or a link to elsewhere".to_owned(),
            Self::Changed(Some(bad)) => format!("changed: another time and other content; {}", leaves(bad, size)),
            Self::Changed(None) => {
                "changed: another time, and content that could not be held against a digest".to_owned()
            }
            Self::Touched { .. } => "changed: another time; the content was not read".to_owned(),
            Self::Grown { from, to, beginning } => {
                format!("grown from {from} to {to} bytes; {}", of_beginning(beginning, *from))
            }
            Self::Truncated { from, to, beginning, same_time } => format!(
                "truncated from {from} to {to} bytes{}; {}",
                if *same_time { " with unchanged time" } else { "" },
                of_beginning(beginning, *to)
            ),
            Self::Renamed { to, proven: true } => format!("renamed to {to}: the content is the same"),
            Self::Renamed { to, proven: false } => format!("renamed to {to}: size and time are the same"),
            Self::Silent(bad) => {
                format!("content changed with unchanged size and time, read twice; {}", leaves(bad, size))
            }
            Self::Broken => "the device failed to give its content (input/output error), read twice".to_owned(),
            Self::Unseen => "told before; it could not be looked at again in this run".to_owned(),
        }
    }
}

fn of_beginning(beginning: &Beginning, shorter: u64) -> String {
    match beginning {
        Beginning::Same => "what is common is unchanged, as far as whole leaves of 4 MiB tell".to_owned(),
        Beginning::Differs(bad) => format!("what is common differs: {}", leaves(bad, shorter)),
        Beginning::Unproven => "whether what is common is unchanged could not be proven".to_owned(),
    }
}

fn leaves(bad: &BadLeaves, size: u64) -> String {
    let (first, end) = (bad.first.saturating_mul(LEAF), (bad.last + 1).saturating_mul(LEAF).min(size));
    format!(
        "{} of {} leaves differ, within bytes {first} to {end}; the first had SHA-256 {} and has {}",
        bad.count, bad.of, bad.expected, bad.found
    )
}
