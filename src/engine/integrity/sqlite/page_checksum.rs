/// The checksums at the end of each page that SQLite's extension "cksumvfs" keeps, as far as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageChecksums {
    /// How many pages were read.
    pub pages: u64,
    /// How many of them do not verify.
    pub bad: u64,
    /// The first of those, 1 being the first of the file; at most [`PageChecksums::LISTED`].
    pub bad_pages: Vec<u64>,
}

impl PageChecksums {
    /// How many bad pages are named.
    pub const LISTED: usize = 5;
    /// The bytes that the extension reserves at the end of a page.
    pub const RESERVED: u8 = 8;

    /// Takes the next page.
    pub fn push(&mut self, page: &[u8]) {
        self.pages += 1;
        if !verifies(page) {
            self.bad += 1;
            if self.bad_pages.len() < Self::LISTED {
                self.bad_pages.push(self.pages);
            }
        }
    }

    /// Whether the reserved bytes are such checksums at all, and not another extension's: page 1 or most pages verify.
    pub fn in_use(&self) -> bool {
        self.pages > 0 && (self.bad_pages.first() != Some(&1) || self.bad * 2 < self.pages)
    }
}

/// Whether the last 8 bytes of a page are the checksum of those before:
/// <https://www.sqlite.org/cksumvfs.html>. A page of zeros, which SQLite never wrote, verifies too.
pub fn verifies(page: &[u8]) -> bool {
    let Some((body, sum)) = page.split_last_chunk::<8>() else { return false };
    let (mut first, mut second) = (0_u32, 0_u32);
    for pair in body.chunks_exact(8) {
        let word = |at: usize| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]);
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    sum[..4] == first.to_le_bytes() && sum[4..] == second.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page of 512 bytes whose checksum was worked out by hand: word i of the body is i.
    fn page() -> Vec<u8> {
        let mut page: Vec<u8> = (0_u32..126).flat_map(u32::to_le_bytes).collect();
        let (first, second) = (0..126_u32).step_by(2).fold((0_u32, 0_u32), |(a, b), i| {
            let a = a.wrapping_add(i).wrapping_add(b);
            (a, b.wrapping_add(i + 1).wrapping_add(a))
        });
        page.extend(first.to_le_bytes());
        page.extend(second.to_le_bytes());
        page
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_seen(bit in 0..512 * 8_usize) {
            let mut page = page();
            prop_assert!(verifies(&page));
            page[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verifies(&page));
        }
    }

    #[test]
    fn reserved_bytes_of_another_kind_are_no_damage() {
        let mut other = PageChecksums::default();
        (0..9).for_each(|n| other.push(&[n + 1; 512]));
        assert!(!other.in_use());
        let mut ours = PageChecksums::default();
        (0..9).for_each(|n| ours.push(&if n == 0 { vec![1; 512] } else { page() }));
        assert!(ours.in_use());
        assert_eq!(ours.bad_pages, [1]);
    }
}
