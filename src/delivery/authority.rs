use std::fmt;

use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::ServerConfig;
use thiserror::Error;

use super::certificate::{Life, of_ca, of_server, unix};
use super::tls::{self, TlsError};

/// How long the authority's certificate holds, and a server's.
const CA_DAYS: i64 = 3_650;
const SERVER_DAYS: i64 = 90;

/// What the parts are called in errors.
const CA: &str = "ca.crt and ca.key";
const SERVER: &str = "tls.crt and tls.key";

/// Why there are no certificates.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The parts of a Secret do not fit together.
    #[error("the certificates do not fit together: {0}")]
    Unfit(#[from] TlsError),
    /// They could not be made: a name that is none.
    #[error("no certificate for {names}: {why}")]
    NotMade {
        /// The names.
        names: String,
        /// What is wrong.
        why: String,
    },
}

/// What became of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are good for a while.
    Kept,
    /// The server's was made anew, with the same authority: whoever trusted it still does.
    Renewed,
    /// All are new. Jobs that run do not trust them.
    Made,
}

/// A certificate authority of the operator's own and its server's certificate, each with its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    ca: Pair,
    server: Pair,
}

#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: String,
    key: String,
    life: Life,
}

impl fmt::Debug for Authority {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("ca", &self.ca.life).field("server", &self.server.life).finish()
    }
}

impl Pair {
    /// Two PEM texts that must be a certificate and its key.
    fn read(what: &'static str, certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| TlsError::new(what, "no PEM text"));
        let (certificate, key) = (text(certificate)?, text(key)?);
        tls::pair(what, &certificate, &key)?;
        let life = Life::of(&tls::certificate(what, &certificate)?);
        let life = life.ok_or_else(|| TlsError::new(what, "the certificate tells no time"))?;
        Ok(Self { certificate, key, life })
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.life.begin <= now && now < self.life.end
    }
}

/// The bytes of a Secret that hold an authority.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// `ca.crt`
    pub ca_crt: &'a [u8],
    /// `ca.key`
    pub ca_key: &'a [u8],
    /// `tls.crt`
    pub tls_crt: &'a [u8],
    /// `tls.key`
    pub tls_key: &'a [u8],
}

impl Authority {
    /// Makes everything.
    pub fn make(names: &[String], now: Timestamp) -> Result<Self, AuthorityError> {
        Self::sign(
            names,
            || {
                let key = KeyPair::generate()?;
                let life = Life::new(now, CA_DAYS);
                Ok(Pair { certificate: of_ca(&key, life)?, key: key.serialize_pem(), life })
            },
            now,
        )
    }

    /// Reads the parts of a Secret; those that are not one certificate and its key are refused.
    pub fn read(parts: Parts<'_>) -> Result<Self, AuthorityError> {
        Ok(Self {
            ca: Pair::read(CA, parts.ca_crt, parts.ca_key)?,
            server: Pair::read(SERVER, parts.tls_crt, parts.tls_key)?,
        })
    }

    /// What to use from now on: the parts of the Secret while they are good, or else what must be written to it.
    /// An authority that holds is kept: its key signs the server's next certificate and, when two thirds of its
    /// own life are over, its own next one, so that Jobs that trust the old one trust both.
    pub fn settle(parts: Parts<'_>, names: &[String], now: Timestamp) -> Result<(Self, Change), AuthorityError> {
        if let Ok(kept) = Self::read(parts)
            && kept.serves(names, now)
            && now < kept.renew_at()
        {
            return Ok((kept, Change::Kept));
        }
        if let Ok(ca) = Pair::read(CA, parts.ca_crt, parts.ca_key)
            && ca.holds(now)
            && let Ok(renewed) = Self::sign(names, || ca.renewed(now), now)
            // An authority of somebody else's making has another name than the one that signs here.
            && renewed.serves(names, now)
        {
            return Ok((renewed, Change::Renewed));
        }
        Ok((Self::make(names, now)?, Change::Made))
    }

    fn sign(
        names: &[String],
        ca: impl FnOnce() -> Result<Pair, rcgen::Error>,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let made = || {
            let ca = ca()?;
            let key = KeyPair::generate()?;
            let life = Life::new(now, SERVER_DAYS);
            let certificate = of_server(&KeyPair::from_pem(&ca.key)?, &key, names, life)?;
            Ok(Self { ca, server: Pair { certificate, key: key.serialize_pem(), life } })
        };
        made()
            .map_err(|error: rcgen::Error| AuthorityError::NotMade { names: names.join(", "), why: error.to_string() })
    }

    /// Whether a client that trusts the authority takes its server for all of these names now.
    pub fn serves(&self, names: &[String], now: Timestamp) -> bool {
        let certificate = tls::certificate(SERVER, &self.server.certificate);
        self.ca.holds(now)
            && !names.is_empty()
            && certificate.is_ok_and(|shown| tls::trusted(&self.ca.certificate, &shown, names, unix(now)))
    }

    /// When to look at it again with [`Authority::settle`]: two thirds of the first life that ends are over.
    pub fn renew_at(&self) -> Timestamp {
        self.ca.life.renew_at().min(self.server.life.renew_at())
    }

    /// The authority's certificate, as PEM: what Jobs trust.
    pub fn ca(&self) -> &str {
        &self.ca.certificate
    }

    /// The Secret's data. It holds both keys.
    pub fn parts(&self) -> [(&'static str, &str); 4] {
        [
            ("ca.crt", &self.ca.certificate),
            ("ca.key", &self.ca.key),
            ("tls.crt", &self.server.certificate),
            ("tls.key", &self.server.key),
        ]
    }

    /// How its server speaks TLS.
    pub fn server_config(&self) -> Result<ServerConfig, AuthorityError> {
        Ok(tls::server_config(tls::pair(SERVER, &self.server.certificate, &self.server.key)?)?)
    }
}

impl Pair {
    /// The same authority, with a new certificate where two thirds of the life of this one are over.
    fn renewed(&self, now: Timestamp) -> Result<Self, rcgen::Error> {
        if now < self.life.renew_at() {
            return Ok(self.clone());
        }
        let life = Life::new(now, CA_DAYS);
        Ok(Self { certificate: of_ca(&KeyPair::from_pem(&self.key)?, life)?, key: self.key.clone(), life })
    }
}
