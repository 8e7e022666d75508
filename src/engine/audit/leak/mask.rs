//! What may be told of a value: a short public beginning, and a fingerprint under the bank's key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::rule::Kind;
use crate::domain::Digest;

/// The most bytes of a value that are shown.
const SHOWN: usize = 4;
/// A fixed number, so that not even the length is told.
const STARS: &str = "****";

/// The excerpt of a value: at most four bytes and at most a quarter of it, then stars; only stars for a
/// password or a person's data.
pub fn mask(kind: Kind, value: &[u8]) -> String {
    let shown = match kind {
        Kind::Personal | Kind::Password => 0,
        Kind::Secret | Kind::Token => SHOWN.min(value.len() / 4),
    };
    let head: String = value.iter().take(shown).take_while(|b| b.is_ascii_graphic()).map(|&b| char::from(b)).collect();
    head + STARS
}

/// HMAC-SHA-256 under `key` over the fields, each preceded by its length, as hex.
pub fn fingerprint(key: &[u8; 32], fields: &[&[u8]]) -> String {
    // HMAC takes a key of any length; the error type has no other cause.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for field in fields {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field);
    }
    Digest::from_bytes(mac.finalize().into_bytes().into()).to_string()
}
