//! Credentials that tell their issuer by their form. The forms are the issuers' own, from their documentation.

mod chat;
mod cloud;
mod code;
mod llm;
mod services;

use super::Rule;

/// Every rule of this kind.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    cloud::RULES.iter().chain(llm::RULES).chain(code::RULES).chain(chat::RULES).chain(services::RULES)
}
