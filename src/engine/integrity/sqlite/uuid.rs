//! Ids as the databases store them: 32 hex digits in OpenMemory, with dashes in mem0's history.

/// Reads exactly 32 lower-case hex digits, the only form under which OpenMemory finds a row again.
pub fn plain(text: &[u8]) -> Option<u128> {
    if text.len() != 32 {
        return None;
    }
    text.iter().try_fold(0, |id, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u128::from(digit))
    })
}

/// Reads an id with dashes or without.
pub fn any(text: &[u8]) -> Option<u128> {
    if text.len() != 36 {
        return plain(text);
    }
    let mut digits = [0; 32];
    let mut free = digits.iter_mut();
    for (at, byte) in text.iter().enumerate() {
        match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            _ => *free.next()? = byte.to_ascii_lowercase(),
        }
    }
    plain(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_id_are_the_same_id() {
        let dashed = any(b"123e4567-e89b-12d3-a456-426614174000");
        assert_eq!(dashed, plain(b"123e4567e89b12d3a456426614174000"));
        assert_eq!(dashed, Some(0x123e_4567_e89b_12d3_a456_4266_1417_4000));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in [
            "",
            "123e4567e89b12d3a45642661417400",
            "123e4567e89b12d3a4564266141740000",
            "g23e4567e89b12d3a456426614174000",
            "123E4567E89B12D3A456426614174000",
            "123e4567-e89b-12d3-a456_426614174000",
            "-123e4567e89b-12d3-a456-426614174000",
        ] {
            assert_eq!(any(bad.as_bytes()), None, "{bad}");
        }
    }
}
