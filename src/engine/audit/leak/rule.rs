use crate::domain::Severity;

/// What the value of a hit is; decides its mask and which of two overlapping hits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A person's data.
    Personal,
    /// A password: no part of it is public.
    Password,
    /// A long random value that a word beside it calls a secret.
    Secret,
    /// A credential of a known issuer: its prefix is public.
    Token,
}

/// One rule: what it looks for, how bad a hit is, and what to do about it.
#[derive(Debug)]
pub struct Rule {
    /// Stable, kebab-case.
    pub id: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// How bad a hit is.
    pub severity: Severity,
    /// What to do about it.
    pub advice: &'static str,
    /// What kind of value it finds.
    pub kind: Kind,
    /// Bytes that every hit has; the rest is not looked at where they are absent. Empty where a shape triggers.
    pub keywords: &'static [&'static str],
    /// The pattern, ASCII only; for documentation too where code does the matching.
    pub pattern: &'static str,
    /// How many bytes of a hit may stand before the keyword.
    pub lead: usize,
}

/// What to do about a credential.
pub const ROTATE: &str =
    "Revoke it at its issuer and make a new one, then remove this copy; deleting the text alone is not enough.";

impl Rule {
    /// The rule for a credential that begins with one of `keywords`.
    pub const fn token(
        id: &'static str,
        title: &'static str,
        severity: Severity,
        keywords: &'static [&'static str],
        pattern: &'static str,
    ) -> Self {
        Self { id, title, severity, advice: ROTATE, kind: Kind::Token, keywords, pattern, lead: 0 }
    }

    /// The same where up to `lead` bytes stand before the keyword.
    #[must_use]
    pub const fn leading(mut self, lead: usize) -> Self {
        self.lead = lead;
        self
    }
}
