//! Data of persons: recognised by form and check digits, or by form and the words beside it.

mod card;
mod email;
mod iban;
mod number;
mod phone;

pub use email::find as email;
pub use number::Numbers;

use super::rule::{Kind, Rule};
use crate::domain::Severity::{High, Low, Medium};

const REMOVE: &str =
    "Ask whether the bank needs it; if not, delete the memory with its history, or store a reference in its place.";

const fn personal(
    id: &'static str,
    title: &'static str,
    severity: crate::domain::Severity,
    pattern: &'static str,
) -> Rule {
    Rule { id, title, severity, advice: REMOVE, kind: Kind::Personal, keywords: &[], pattern, lead: 0 }
}

/// An e-mail address.
pub static EMAIL: Rule = personal(
    "email-address",
    "E-mail address",
    Low,
    r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59})",
);
/// A telephone number.
pub static PHONE: Rule = personal("phone-number", "Telephone number", Low, phone::PATTERN);
/// The number of a payment card.
pub static CARD: Rule = personal("payment-card", "Payment card number", High, card::PATTERN);
/// An international bank account number.
pub static IBAN: Rule = personal("iban", "Bank account number (IBAN)", Medium, iban::PATTERN);
/// A United States social security number.
pub static SSN: Rule = personal("us-ssn", "US social security number", High, number::SSN);

/// Every rule for personal data.
pub static RULES: [&Rule; 5] = [&EMAIL, &PHONE, &CARD, &IBAN, &SSN];
