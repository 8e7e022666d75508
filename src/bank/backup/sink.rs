use std::fs::File;
use std::io::{self, Write};

use super::bucket::Upload;

/// Where the stored bytes of a file of a set go.
#[derive(Debug)]
pub(super) enum Sink {
    File(File),
    Upload(Box<Upload>),
}

impl Sink {
    /// Ends the file: all of it is where it outlives a crash.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_all(),
            Self::Upload(upload) => upload.finish().map_err(io::Error::other),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Upload(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Upload(_) => Ok(()),
        }
    }
}
