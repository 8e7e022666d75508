use super::wal::checksum_of;

/// The header of a -shm, by which live connections agree where the -wal ends, and the number behind it, by which they
/// agree how much of it is in the database: <https://www.sqlite.org/walformat.html#the_wal_index_header>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalIndex {
    /// Frames of committed transactions; none of these changes before the salts do.
    pub frames: u32,
    /// Of these, how many a checkpoint has written to the database.
    pub backfilled: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// The salts of the -wal's header.
    pub salts: [u8; 8],
}

impl WalIndex {
    /// Two copies of 48 bytes, and the number of backfilled frames.
    pub const LEN: usize = 100;

    /// Reads it; none where the two copies differ (it is being written) or do not verify.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let (copy, other) = bytes[..96].split_at(48);
        let word = |at: usize| u32::from_ne_bytes([copy[at], copy[at + 1], copy[at + 2], copy[at + 3]]);
        let sum = checksum_of(cfg!(target_endian = "big"), (0, 0), &copy[..40]);
        if copy != other || word(0) != 3_007_000 || copy[12] == 0 || sum != (word(40), word(44)) {
            return None;
        }
        let mut salts = [0; 8];
        salts.copy_from_slice(&copy[32..40]);
        let raw = u16::from_ne_bytes([copy[14], copy[15]]);
        let frames = word(16);
        let backfilled = u32::from_ne_bytes([bytes[96], bytes[97], bytes[98], bytes[99]]).min(frames);
        Some(Self { frames, backfilled, page_size: if raw == 1 { 65_536 } else { raw.into() }, salts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_equal_and_sound_copies_count() {
        let mut copy = [0_u8; 48];
        copy[..4].copy_from_slice(&3_007_000_u32.to_ne_bytes());
        copy[12] = 1;
        copy[14..16].copy_from_slice(&4096_u16.to_ne_bytes());
        copy[16..20].copy_from_slice(&12_u32.to_ne_bytes());
        copy[32..40].copy_from_slice(b"saltsalt");
        let sum = checksum_of(cfg!(target_endian = "big"), (0, 0), &copy[..40]);
        copy[40..44].copy_from_slice(&sum.0.to_ne_bytes());
        copy[44..48].copy_from_slice(&sum.1.to_ne_bytes());
        let mut bytes = [0; WalIndex::LEN];
        bytes[..48].copy_from_slice(&copy);
        bytes[48..96].copy_from_slice(&copy);
        bytes[96..].copy_from_slice(&5_u32.to_ne_bytes());
        let index = WalIndex { frames: 12, backfilled: 5, page_size: 4096, salts: *b"saltsalt" };
        assert_eq!(WalIndex::parse(&bytes), Some(index));
        for at in [16, 64] {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(WalIndex::parse(&torn), None);
        }
    }
}
