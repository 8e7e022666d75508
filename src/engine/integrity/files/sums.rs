use super::{Entry, Manifest};

impl Manifest {
    /// The text that `sha256sum -c` accepts when it is run in the tree's root: one line for each file whose content
    /// is known. Names are bytes, so the text need not be UTF-8.
    pub fn to_sha256sums(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for Entry { path, sums, .. } in &self.entries {
            if let Some(sums) = sums {
                line(&mut text, &sums.sha256().to_string(), path.as_bytes());
            }
        }
        text
    }
}

/// As coreutils writes it: a line whose name holds a backslash or a line's end begins with a backslash and has
/// these escaped in the name.
fn line(text: &mut Vec<u8>, digest: &str, name: &[u8]) {
    if name.iter().any(|b| matches!(b, b'\\' | b'\n' | b'\r')) {
        text.push(b'\\');
    }
    text.extend_from_slice(digest.as_bytes());
    text.extend_from_slice(b"  ");
    if name == b"-" {
        text.extend_from_slice(b"./"); // A bare `-` is the standard input.
    }
    for byte in name {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            other => text.push(*other),
        }
    }
    text.push(b'\n');
}
