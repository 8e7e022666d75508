//! Finds leaked secrets and personal data in text. Pure: bytes in, hits out.
//!
//! Two steps, so that text without hits costs little. Triggers pass over it, each vectorised or looking at
//! one byte in many: long words, runs of digits, `@`, and a few literals. Only around a trigger do the rules
//! look, in windows of bounded size, so that the time is linear in the text whatever the text is.

mod address;
mod literals;
mod mask;
mod named;
mod password;
mod personal;
mod rule;
mod runs;
mod scanner;
mod shape;
mod tokens;
mod value;
mod vendors;

pub use mask::mask;
pub use rule::{Kind, Rule};
pub use scanner::{Hit, Scanner};

/// Every rule, for documentation and for comparison with other tools.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    vendors::rules()
        .chain([
            &shape::PRIVATE_KEY,
            &shape::HASH,
            &address::ADDRESS,
            &password::PASSWORD,
            &named::ASSIGNED,
            &named::MENTIONED,
        ])
        .chain(personal::RULES)
}
