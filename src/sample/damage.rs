use std::fmt;
use std::str::FromStr;

use super::error::SampleError;

macro_rules! damages {
    ($($variant:ident $name:literal $what:literal;)*) => {
        /// A damage that can be planted in a sample bank; one for each kind that is detected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Damage { $($variant),* }

        impl Damage {
            /// Every damage, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in lists and documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it is, for people.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }
        }
    };
}

damages! {
    BrokenForeignKey "broken-foreign-key" "an access is logged for a memory that does not exist (I7)";
    MalformedMetadata "malformed-metadata" "a memory's metadata is cut JSON";
    ImpossibleDate "impossible-date" "a memory was made on 30 February";
    NumericUuid "numeric-uuid" "an id of digits alone became a number (I14)";
    StateContradiction "state-contradiction" "a memory is archived, its history says active (I12)";
    DeletedWithoutTime "deleted-without-time" "a deleted memory has no time of deletion (I12)";
    ExactDuplicates "exact-duplicates" "three memories of a user say the same (I15)";
    MissingAdd "missing-add" "a memory has no ADD in mem0's history (I11)";
    InvalidUtf8 "invalid-utf8" "a text is no UTF-8";
    NulInText "nul-in-text" "a text has a NUL byte in it";
    IndexDamage "index-damage" "a bit is wrong in a page of an index";
    DeletedReadable "deleted-readable" "the text of a deleted memory is still in the database";
    DeletedInHistory "deleted-in-history" "the text of a deleted memory is still in mem0's history";
    OpenaiKeyInMemory "openai-key-in-memory" "a memory quotes an OpenAI key";
    AwsKeyInMetadata "aws-key-in-metadata" "a memory's metadata holds an AWS access key";
    DatabaseUrlInConfigs "database-url-in-configs" "the stored configuration holds a database URL with its password";
    PrivateKeyInUpload "private-key-in-upload" "a private key was uploaded";
    JwtInLog "jwt-in-log" "a log line has a JSON web token";
    GithubTokenInEnv "github-token-in-env" "an .env file beside the Compose file holds a GitHub token";
    EmailInMemory "email-in-memory" "a memory holds an e-mail address";
    PhoneInMemory "phone-in-memory" "a memory holds a phone number";
    CardInMemory "card-in-memory" "a memory holds a card number";
    IbanInMemory "iban-in-memory" "a memory holds an IBAN";
    FileMissing "file-missing" "an uploaded file is gone";
    FileChangedSilently "file-changed-silently" "an uploaded file changed while its size and time did not";
    FileTruncated "file-truncated" "an uploaded file was cut";
    FileRenamed "file-renamed" "an uploaded file has another name";
    HistoryTail "history-tail" "bytes follow the last page of history.db";
    HistoryTruncated "history-truncated" "history.db lacks its last pages";
}

impl Damage {
    /// Those of `--damage all`: every damage but the ones that would hide another.
    ///
    /// A history that lacks pages cannot be compared with the memories, which would hide `missing-add`
    /// and `deleted-in-history`.
    pub fn together() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|damage| *damage != Self::HistoryTruncated).collect()
    }

    /// Reads the argument of `--damage`: `none`, `all`, or names with commas between them.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, SampleError> {
        match text.trim() {
            "none" => return Ok(Vec::new()),
            "all" => return Ok(Self::together()),
            _ => {}
        }
        let mut list = text.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<Self>, _>>()?;
        let count = list.len();
        list.sort_unstable();
        list.dedup();
        if list.len() < count { Err(SampleError::BadList(text.to_owned())) } else { Ok(list) }
    }
}

impl FromStr for Damage {
    type Err = SampleError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() {
            return Err(SampleError::BadList(name.to_owned()));
        }
        let found = Self::ALL.iter().copied().find(|damage| damage.name() == name);
        found.ok_or_else(|| SampleError::UnknownDamage(name.to_owned()))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_or_refused_with_its_name() {
        assert_eq!(Damage::parse_list("none").unwrap(), []);
        assert_eq!(Damage::parse_list("all").unwrap().len(), Damage::ALL.len() - 1);
        let two = Damage::parse_list("jwt-in-log, missing-add").unwrap();
        assert_eq!(two, [Damage::MissingAdd, Damage::JwtInLog]);
        for (bad, named) in [("", ""), ("jwt-in-log,,missing-add", ""), ("none,all", "none"), ("x", "`x`")] {
            let error = Damage::parse_list(bad).unwrap_err().to_string();
            assert!(error.contains(named), "{bad}: {error}");
        }
        assert!(matches!(Damage::parse_list("jwt-in-log,jwt-in-log"), Err(SampleError::BadList(_))));
    }

    #[test]
    fn names_are_unique_and_read_back() {
        for damage in Damage::ALL {
            assert_eq!(damage.name().parse::<Damage>().unwrap(), *damage);
        }
    }
}
