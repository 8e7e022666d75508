//! Encryption of what is stored, by age: for whom, and by whom it can be opened.

use std::fmt;
use std::io::{self, Read, Write};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, x25519};

use super::examine::Fault;
use crate::bank::Secrets;
use crate::bank::net::secret::Held;
use crate::domain::SecretKey;
use crate::engine::backup::SEALED;

/// For whom the files of a set are encrypted; for nobody, where they are plain.
#[derive(Clone, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

/// What opens them.
#[derive(Clone)]
pub struct Identity(x25519::Identity);

/// Where the bytes of a file go in.
pub(super) enum Sealing<W: Write> {
    Plain(W),
    Age(Box<StreamWriter<W>>),
}

/// Where they come out again.
pub(super) enum Opened<R: Read> {
    Plain(R),
    Age(Box<StreamReader<R>>),
}

/// Why they do not.
#[derive(Debug)]
pub(super) enum Closed {
    /// There is no key for it: that says nothing against the file.
    NoKey(String),
    /// What comes out of it is not what was put in.
    Broken(String),
    /// It is not what was stored.
    Changed(Fault),
}

impl Recipients {
    /// Public keys, `age1...`; for people what is wrong with one.
    pub fn parse(keys: &[String]) -> Result<Self, String> {
        let parse = |key: &String| {
            key.parse().map_err(|_| format!("spec.repository.encryption.recipients: {key:?} is no public key of age"))
        };
        keys.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are written.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The name that a file has when it is stored.
    pub(super) fn stored(&self, path: String) -> String {
        if self.is_empty() { path } else { format!("{path}{SEALED}") }
    }

    /// Begins a file.
    pub(super) fn seal<W: Write>(&self, to: W) -> io::Result<Sealing<W>> {
        if self.is_empty() {
            return Ok(Sealing::Plain(to));
        }
        let recipients = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
        encryptor.wrap_output(to).map(Box::new).map(Sealing::Age)
    }
}

impl Identity {
    /// The private key of a secret, its first line that is no comment; for people why it is none.
    pub async fn read(key: &SecretKey, (namespace, secrets): (&str, &impl Secrets)) -> Result<Self, String> {
        let text = Held { namespace, secrets }.text(key).await.map_err(|no| no.message)?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let parsed = line.and_then(|line| line.parse().ok()).map(Self);
        parsed
            .ok_or_else(|| format!("secret {}, key {}: expected a private key AGE-SECRET-KEY-1...", key.name, key.key))
    }

    /// Opens a file that was encrypted.
    pub(super) fn open<R: Read>(&self, from: R) -> Result<Opened<R>, Closed> {
        let decryptor = Decryptor::new(from).map_err(|error| Closed::Broken(format!("it is none of age: {error}")))?;
        match decryptor.decrypt(std::iter::once(&self.0 as &dyn age::Identity)) {
            Ok(reader) => Ok(Opened::Age(Box::new(reader))),
            Err(DecryptError::NoMatchingKeys) => {
                Err(Closed::NoKey("the key of identitySecretRef is not one that it is encrypted for".to_owned()))
            }
            Err(error) => Err(Closed::Broken(format!("it cannot be decrypted: {error}"))),
        }
    }
}

impl<W: Write> Sealing<W> {
    /// Ends the file, and gives back what it went into.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Age(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes),
            Self::Age(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Age(writer) => writer.flush(),
        }
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(from) => from.read(buffer),
            Self::Age(reader) => reader.read(buffer),
        }
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.names()).finish()
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(identity: &x25519::Identity, sealed: &[u8]) -> Result<Vec<u8>, Closed> {
        let mut opened = Identity(identity.clone()).open(sealed)?;
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(|error| Closed::Broken(error.to_string()))?;
        Ok(bytes)
    }

    #[test]
    fn each_recipient_opens_it_nobody_else_does_and_no_byte_can_be_changed() {
        let (one, two, other) =
            (x25519::Identity::generate(), x25519::Identity::generate(), x25519::Identity::generate());
        let keys = [&one, &two].map(|identity| identity.to_public().to_string());
        let recipients = Recipients::parse(&keys).unwrap();
        assert_eq!(recipients.names(), keys);
        let content = vec![7; 100_000];
        let mut sealing = recipients.seal(Vec::new()).unwrap();
        sealing.write_all(&content).unwrap();
        let sealed = sealing.finish().unwrap();
        for identity in [&one, &two] {
            assert_eq!(open(identity, &sealed).unwrap(), content);
        }
        assert!(matches!(open(&other, &sealed), Err(Closed::NoKey(_))));
        for at in [0, 30, 200, 300, sealed.len() / 2, sealed.len() - 1] {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(open(&one, &bad).is_err(), "{at}");
            assert!(open(&one, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(Recipients::parse(&["age1nobody".to_owned()]).unwrap_err().contains("age1nobody"));
        let plain = Recipients::default();
        assert_eq!((plain.stored("a".to_owned()), recipients.stored("a".to_owned())), ("a".into(), "a.age".into()));
        assert!(!format!("{:?}", Identity(one)).contains("KEY"));
    }
}
