//! What everything that calls over the network shares: which addresses are never called, how certificates are
//! verified, where secrets come from, and failures in words that stay the same as long as the trouble does.

pub(super) mod address;
pub(super) mod http;
pub(super) mod postgres;
pub(super) mod secret;
pub(super) mod vacuum;
