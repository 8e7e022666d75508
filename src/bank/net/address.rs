//! Which addresses are never called: whoever may declare a bank must not be able to have the services asked
//! that a machine's own network trusts, such as the one that gives out the machine's credentials.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// Why a host is not called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in crate::bank) enum AddressError {
    /// One of its addresses is forbidden.
    #[error("{0} is a link-local or metadata address, or one of its addresses is: it is never called")]
    Forbidden(String),
    /// It has no address.
    #[error("the name {0} cannot be resolved")]
    NotResolved(String),
}

/// IPv4 addresses beyond link-local ones that give out credentials or settings of the machine.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// The same of IPv6.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Whether an address is never called, however it is written.
pub(in crate::bank) fn forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded(address).is_some_and(forbidden_v4)
        }
    }
}

fn forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || METADATA_V4.contains(&address)
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, of NAT64 or of 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(of(high, low))
        }
        _ => None,
    }
}

/// The addresses of a host, all of which may be called.
pub(in crate::bank) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, AddressError> {
    let found = tokio::net::lookup_host((host, port)).await;
    admitted(host, found.map(Iterator::collect))
}

/// One forbidden address is enough to refuse a name: which of them is called is chance.
fn admitted(host: &str, found: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, AddressError> {
    let addresses = found.unwrap_or_default();
    if addresses.is_empty() {
        return Err(AddressError::NotResolved(host.to_owned()));
    }
    if addresses.iter().any(|address| forbidden(address.ip())) {
        return Err(AddressError::Forbidden(host.to_owned()));
    }
    Ok(addresses)
}

/// Resolves names for the HTTP client, which calls just the addresses that this gives it. Addresses written as
/// such do not come here.
#[derive(Clone, Copy, Debug)]
pub(in crate::bank) struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The client puts the port of the url in place of 0.
            let addresses = resolve(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_forbidden_however_written() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "169.254.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:100.100.100.200",
        ] {
            assert!(forbidden(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.253.0.1", "100.100.100.201", "::1", "fd00::1"] {
            assert!(!forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn one_forbidden_address_of_a_name_is_enough() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 80);
        let both = Ok(vec![address("10.0.0.1"), address("169.254.169.254")]);
        assert_eq!(admitted("bank", both), Err(AddressError::Forbidden("bank".to_owned())));
        let good = vec![address("10.0.0.1"), address("::1")];
        assert_eq!(admitted("bank", Ok(good.clone())), Ok(good));
        assert_eq!(admitted("bank", Ok(Vec::new())), Err(AddressError::NotResolved("bank".to_owned())));
    }

    #[tokio::test]
    async fn odd_spellings_of_an_address_are_resolved_before_they_are_judged() {
        for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"] {
            assert_eq!(resolve(host, 5432).await, Err(AddressError::Forbidden(host.to_owned())), "{host}");
        }
        assert_eq!(resolve("127.0.0.1", 5432).await, Ok(vec!["127.0.0.1:5432".parse().unwrap()]));
    }
}
