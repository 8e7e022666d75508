use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::pki_types::UnixTime;

/// From when to when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub begin: Timestamp,
    pub end: Timestamp,
}

impl Life {
    /// Clocks of a cluster may differ by this much: a certificate holds from a little before it was made.
    const SKEW: SignedDuration = SignedDuration::from_hours(1);

    pub fn new(now: Timestamp, days: i64) -> Self {
        // Whole seconds: a certificate holds no others.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            begin: now.saturating_sub(Self::SKEW).unwrap_or(now),
            end: now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(now),
        }
    }

    /// When two thirds of it are over.
    pub fn renew_at(self) -> Timestamp {
        let third = self.end.duration_since(self.begin) / 3;
        self.end.saturating_sub(third).unwrap_or(self.begin)
    }

    /// Reads it from a certificate.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        // Certificate, its signed part, and of that: version, serial, algorithm, issuer, life (RFC 5280, 4.1).
        let (certificate, _) = Element::read(certificate)?;
        let (signed, _) = Element::read(certificate.content)?;
        let (version, mut rest) = Element::read(signed.content)?;
        (version.tag == 0xa0).then_some(())?;
        for _ in ["serial", "algorithm", "issuer"] {
            (_, rest) = Element::read(rest)?;
        }
        let (life, _) = Element::read(rest)?;
        let (begin, rest) = Element::read(life.content)?;
        let (end, _) = Element::read(rest)?;
        Some(Self { begin: begin.time()?, end: end.time()? })
    }
}

/// An element of DER, as far as a certificate needs it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element of some bytes, and what is after it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // A length of more than four bytes is not of a certificate.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((Self { tag, content }, rest))
    }

    /// `UTCTime` up to 2049, `GeneralizedTime` after it (RFC 5280, 4.1.2.5).
    fn time(&self) -> Option<Timestamp> {
        let text = std::str::from_utf8(self.content).ok()?;
        let digits = match (self.tag, text.get(..2)?) {
            (0x17, year) if year < "50" => format!("20{text}"),
            (0x17, _) => format!("19{text}"),
            (0x18, _) => text.to_owned(),
            _ => return None,
        };
        let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", digits).ok()?;
        time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    }
}

/// A time as rustls takes it.
pub(super) fn unix(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default()))
}

/// What every certificate has in common.
fn params(name: &str, life: Life) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let time = |time| date_time_ymd(1970, 1, 1) + Duration::from_secs(unix(time).as_secs());
    params.not_before = time(life.begin);
    params.not_after = time(life.end);
    // Unlike that of any other certificate, of the same key too; positive, as it must be.
    let mut serial: [u8; 16] = rand::random();
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn ca_params(life: Life) -> CertificateParams {
    let mut params = params("MemoryBank ingest CA", life);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The certificate of an authority, as PEM. With the key of an earlier one it replaces that one: what either signed,
/// both vouch for.
pub(super) fn of_ca(key: &KeyPair, life: Life) -> Result<String, rcgen::Error> {
    Ok(ca_params(life).self_signed(key)?.pem())
}

/// The certificate of a server, as PEM, signed by the authority that has this key.
pub(super) fn of_server(ca: &KeyPair, key: &KeyPair, names: &[String], life: Life) -> Result<String, rcgen::Error> {
    let mut params = params("memorybank-ingest", life);
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Of the authority only its name and key go into it.
    let issuer = Issuer::new(ca_params(life), ca);
    Ok(params.signed_by(key, &issuer)?.pem())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn certificate(life: Life) -> CertificateDer<'static> {
        let pem = of_ca(&KeyPair::generate().unwrap(), life).unwrap();
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn a_life_is_read_as_it_was_written_on_both_sides_of_2050() {
        for now in ["2026-11-25T19:00:00Z", "2049-12-31T23:59:59Z", "2050-01-01T00:30:00Z", "2120-03-01T00:00:00Z"] {
            for days in [90, 3650] {
                let life = Life::new(now.parse().unwrap(), days);
                assert_eq!(Life::of(&certificate(life)), Some(life), "{now} {days}");
            }
        }
    }

    #[test]
    fn two_thirds_of_90_days_are_60() {
        let now: Timestamp = "2026-11-25T19:00:00Z".parse().unwrap();
        let renewal = Life::new(now, 90).renew_at();
        let expected: Timestamp = "2027-01-24T18:40:00Z".parse().unwrap();
        assert_eq!(renewal, expected);
    }

    proptest! {
        #[test]
        fn what_is_cut_or_changed_is_read_as_something_or_nothing(
            keep in 0.0..1.0_f64,
            at in 0.0..1.0_f64,
            byte: u8,
        ) {
            let mut bytes = certificate(Life::new("2026-11-25T19:00:00Z".parse().unwrap(), 90)).to_vec();
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let place = |share: f64| (bytes.len() as f64 * share) as usize;
            let (keep, at) = (place(keep), place(at));
            bytes[at] = byte;
            let _ = Life::of(&bytes);
            prop_assert_eq!(Life::of(&bytes[..keep.min(20)]), None);
        }
    }
}
