use serde::{Deserialize, Serialize};

/// Why a request was not done: what both ends act on, where a status alone says too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The token was refused.
    Unauthenticated,
    /// The token is of another pod.
    Forbidden,
    /// There is no such run.
    UnknownRun,
    /// There is no such path.
    NotFound,
    /// The bank has no output of this name yet: nothing is wrong.
    NoInput,
    /// It is not what it should be.
    Invalid,
    /// The body has no declared length.
    LengthRequired,
    /// The body is too large.
    TooLarge,
    /// The report is of another run than the caller's.
    Mismatch,
    /// What was asked for cannot be had until a person mends it.
    Failed,
    /// It may succeed later.
    Unavailable,
    /// Something that a later version says.
    #[serde(other)]
    Other,
}

/// The body of an answer that is not a good one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The kind.
    pub reason: Why,
    /// For people.
    pub message: String,
}

impl Refused {
    /// The most of such a body that is read, in bytes.
    pub const MAX: usize = 4 << 10;
}
