//! Synthetic secrets and personal data, put together when they are planted: no line of this source holds one,
//! and none was ever valid anywhere.

use super::random::Random;

const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A project key of `OpenAI`: 74 characters, the issuer's mark, 74 characters.
pub fn openai_key(random: &mut Random) -> String {
    format!("sk-{}{}{}{}{}", "proj-", letters(random, 74), "T3Blbk", "FJ", letters(random, 74))
}

/// The id of an AWS access key.
pub fn aws_key(random: &mut Random) -> String {
    format!("AK{}{}", "IA", draw(random, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))
}

/// A URL of PostgreSQL with its password.
pub fn database_url(random: &mut Random) -> String {
    format!("{}://mem0:{}@postgres:5432/mem0", "postgresql", letters(random, 20))
}

/// A GitHub token: 30 characters and their CRC-32 in base 62, as GitHub's own checker wants it.
pub fn github_token(random: &mut Random) -> String {
    let body = letters(random, 30);
    let mut rest = crc32(body.as_bytes());
    let mut check = [b'0'; 6];
    for digit in check.iter_mut().rev() {
        *digit = ALPHANUMERIC.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    format!("gh{}{body}{}", "p_", String::from_utf8_lossy(&check))
}

/// A JSON web token, signed with noise.
pub fn jwt(random: &mut Random) -> String {
    let mut signature = [0; 32];
    random.fill(&mut signature);
    let header = base64_url(br#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = base64_url(br#"{"sub":"default_user","iat":1751353200,"exp":1751356800}"#);
    format!("{header}.{claims}.{}", base64_url(&signature))
}

/// A private key in PEM armour around noise.
pub fn private_key(random: &mut Random) -> String {
    let mut bytes = b"openssh-key-v1\0".to_vec();
    bytes.resize(15 + 360, 0);
    if let Some(noise) = bytes.get_mut(15..) {
        random.fill(noise);
    }
    let text = base64_url(&bytes).replace('-', "+").replace('_', "/");
    let lines: Vec<_> = text.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
    let name = ["OPENSSH", "PRIVATE", "KEY"].join(" ");
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}

/// An e-mail address.
pub fn email(random: &mut Random) -> String {
    format!("mira.lindqvist{}@lindqvist-holm.net", 10 + random.below(90))
}

/// A phone number of the range that Ofcom keeps for films (07700 900000 to 900999).
pub fn phone(random: &mut Random) -> String {
    format!("+44 7700 900{:03}", random.below(1_000))
}

/// A card number with a valid check digit (Luhn).
pub fn card(random: &mut Random) -> String {
    let mut digits: Vec<u32> = vec![4];
    digits.extend((0..14).map(|_| u32::try_from(random.below(10)).unwrap_or(0)));
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| if index % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
        .sum();
    digits.push((10 - sum % 10) % 10);
    let text: Vec<String> = digits.chunks(4).map(|four| four.iter().map(u32::to_string).collect()).collect();
    text.join(" ")
}

/// A German IBAN with valid check digits (mod 97).
pub fn iban(random: &mut Random) -> String {
    let account = draw(random, b"0123456789", 18);
    // ISO 13616: the country's letters as numbers (D = 13, E = 14) and two zeros behind the account.
    let rest = format!("{account}131400").bytes().fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

fn letters(random: &mut Random, count: usize) -> String {
    draw(random, ALPHANUMERIC, count)
}

fn draw(random: &mut Random, from: &[u8], count: usize) -> String {
    (0..count).map(|_| char::from(random.pick(from))).collect()
}

fn base64_url(bytes: &[u8]) -> String {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for index in 0..=three.len() {
            let six = bits >> (18 - 6 * index) & 63;
            out.push(BASE64_URL.get(six as usize).copied().map_or('A', char::from));
        }
    }
    out
}

/// CRC-32 (IEEE 802.3), bit by bit: 30 bytes need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(u32::MAX, |rest, byte| {
        (0..8).fold(rest ^ u32::from(*byte), |rest, _| rest >> 1 ^ if rest & 1 == 1 { 0xEDB8_8320 } else { 0 })
    });
    !rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_right() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(base64_url(b"hello"), "aGVsbG8");
        let mut random = Random::new(1, 0);
        for _ in 0..50 {
            let iban = iban(&mut random);
            let moved = format!("{}1314{}", &iban[4..], &iban[2..4]);
            assert_eq!(moved.bytes().fold(0, |r, d| (r * 10 + u32::from(d - b'0')) % 97), 1, "{iban}");
            let card: Vec<u32> = card(&mut random).chars().filter_map(|c| c.to_digit(10)).collect();
            let luhn = |(i, d): (usize, &u32)| if i % 2 == 1 { d * 2 / 10 + d * 2 % 10 } else { *d };
            assert_eq!(card.len(), 16);
            assert_eq!(card.iter().rev().enumerate().map(luhn).sum::<u32>() % 10, 0);
        }
    }
}
