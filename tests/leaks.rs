//! What the leak scan finds, what it passes over, what it shows, and that its work stays linear.
//!
//! Secrets here are made at run time from random bytes or put together from parts, and belong to nobody.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::sync::LazyLock;

use memorybank::engine::audit::leak::{Hit, Kind, Rule, Scanner, rules};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn scanner() -> &'static Scanner {
    static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&[7; 32]));
    &SCANNER
}

fn hits(text: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    scanner().scan(text, |hit| hits.push(hit));
    hits
}

/// The rule and the value of every hit.
fn found(text: &str) -> Vec<(&'static str, &str)> {
    hits(text.as_bytes()).into_iter().map(|hit| (hit.rule.id, &text[hit.span])).collect()
}

fn issuers() -> impl Iterator<Item = &'static Rule> {
    rules().filter(|rule| rule.kind == Kind::Token && rule.id != "jwt")
}

/// Values of a rule's own pattern.
fn samples(rule: &Rule, count: usize) -> Vec<Vec<u8>> {
    let strategy = proptest::string::bytes_regex(&format!("(?-u){}", rule.pattern)).unwrap();
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn rules_are_complete_and_named_once() {
    let mut ids: Vec<&str> = rules().map(|rule| rule.id).collect();
    assert!(ids.len() > 150, "{}", ids.len());
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id stands twice");
    for rule in rules() {
        assert!(regex::bytes::Regex::new(&format!("(?-u){}", rule.pattern)).is_ok(), "{}", rule.id);
        assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", rule.id);
        assert!(!rule.title.is_empty() && !rule.advice.is_empty());
    }
}

#[test]
fn the_documentation_lists_every_rule() {
    let page = include_str!("../docs/audit.md");
    let missing: Vec<&str> = rules().map(|rule| rule.id).filter(|id| !page.contains(&format!("`{id}`"))).collect();
    assert!(missing.is_empty(), "docs/audit.md lacks {missing:?}");
}

#[test]
fn credentials_of_every_issuer_are_found() {
    let mut missing = Vec::new();
    let scanner = scanner();
    // Where `=` is a letter like any other it often parts a random value too early to be a long word.
    for rule in issuers().filter(|rule| !["[\\w=", "=-]"].iter().any(|part| rule.pattern.contains(part))) {
        let samples = samples(rule, 12);
        let found = samples.iter().filter(|value| {
            let text = [b"Remember: ", value.as_slice(), b" for later"].concat();
            let mut found = false;
            scanner.scan(&text, |hit| found |= hit.span.start < 10 + value.len() && hit.span.end > 10);
            found
        });
        // A random value may happen to look like a stand-in.
        if found.count() < 11 {
            missing.push(rule.id);
        }
    }
    assert!(missing.is_empty(), "these miss their own form: {missing:?}");
}

#[test]
fn a_credential_with_another_prefix_or_cut_short_is_none_of_its_issuer() {
    let scanner = scanner();
    for rule in issuers().filter(|rule| rule.lead == 0) {
        for value in samples(rule, 4) {
            let keyword = rule.keywords.iter().filter(|k| value.starts_with(k.as_bytes())).map(|k| k.len()).max();
            let Some(keyword) = keyword else { continue };
            let mut other = value.clone();
            other[0] = b'~';
            for near in [other, value[..keyword].to_vec(), [b"w".as_slice(), &value].concat()] {
                let text = [b"see ", near.as_slice(), b" there"].concat();
                scanner.scan(&text, |hit| {
                    assert!(
                        hit.rule.id != rule.id || hit.span.start != 4,
                        "{}: {}",
                        rule.id,
                        String::from_utf8_lossy(&near)
                    );
                });
            }
        }
    }
}

#[test]
fn stand_ins_are_passed_over() {
    for text in [
        concat!("OPENAI_API_KEY=sk-", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        "OPENAI_API_KEY=${OPENAI_API_KEY}",
        "api_key = \"{{ .Values.apiKey }}\"",
        "password: <password>",
        "password: changeme-please",
        "password: ********",
        "password: $(cat /run/secrets/key)",
        "\"api_key\": \"env:API_KEY\"",
        "QDRANT__SERVICE__API_KEY=YOUR_API_KEY",
        "postgresql://user:password@localhost/db",
        "postgresql://${USER}:${PASSWORD}@db/bank",
        "postgresql://mem0:<password>@db/bank",
        "redis://cache:6379/0",
        "apiKey: process.env.OPENAI_API_KEY,",
        "password = getpass.getpass()",
        "def login(password: str, token: Optional[str] = None):",
        "AKIAIOSFODNN7EXAMPLE",
        "write to somebody@example.com",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn passwords_in_prose_settings_and_commands_are_found() {
    for (text, value) in [
        ("My database password is winterHarbor4417, please remember it.", "winterHarbor4417"),
        ("User said the wifi password at the office is Qr7-vv^2kLm", "Qr7-vv^2kLm"),
        ("{\"content\":\"the root pw is Kd82hhWqa, save that\"}", "Kd82hhWqa"),
        ("login for the router: admin / falconTiger5501!", "falconTiger5501!"),
        ("POSTGRES_PASSWORD=tigerSunflower5550!", "tigerSunflower5550!"),
        ("psql \"host=db user=app password=Zx9-tt#41kQ dbname=mem\"", "Zx9-tt#41kQ"),
        ("ALTER USER mem0 IDENTIFIED BY 'k2Lp99xQ';", "k2Lp99xQ"),
        ("curl -u elastic:h4rb0rTig3r https://search:9200", "h4rb0rTig3r"),
        ("connect --password=h4rb0rTig3r --verbose", "h4rb0rTig3r"),
    ] {
        assert_eq!(found(text), [("password", value)], "{text}");
    }
    for text in [
        "The password is stored in the vault of the team.",
        "I forgot my password yesterday and had to reset it.",
        "He passed the exam in 2024 with 97 points.",
        "password_file: /run/secrets/db_password2",
        "passwordId: 79a3edd0-2092-40a2",
        "Mountain pass 2,501 m, closed until 2024-05-01.",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn named_random_values_are_found_and_ids_and_digests_are_not() {
    let value = "q7Zt2Lw9Xc4Vb8Nm3Kj6Hg5F";
    for text in [
        format!("QDRANT__SERVICE__API_KEY={value}"),
        format!("  \"api_key\": \"{value}\","),
        format!("Authorization: Bearer {value}"),
        format!("const clientSecret = '{value}';"),
    ] {
        assert_eq!(found(&text), [("secret-assignment", value)], "{text}");
    }
    let text = format!("the acme key for staging is {value}.");
    assert_eq!(found(&text), [("secret-mention", value)]);
    for text in [
        "request_id=247fd492d9428aed248afad934eeb8fa9db7c6a6bfdc8b973a629be5bbdbadcd status=200".to_owned(),
        "Point id 040aa64e-3a6c-40ed-a84a-e94987f93eb5 has score 0.8231".to_owned(),
        format!("commit {value} by a token holder"),
        "image: qdrant/qdrant@sha256:3d67a5aa992225b41d71b0d3e37f82ac9530080dce754cccaca71fd0da7f7c8f".to_owned(),
        "\"kms_key_id\": \"555ea4a3-d53a-4412-9c66-3a7cb667b0d6\"".to_owned(),
        format!("public_key = {value}"),
    ] {
        assert_eq!(found(&text), [], "{text}");
    }
}

#[test]
fn structures_are_proven() {
    // {"alg":"HS256","typ":"JWT"} and {"sub":"1"}; the second header is no JSON.
    let token =
        concat!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", ".eyJzdWIiOiIxIn0", ".hxhGCCCmGV9nT1slief1WgEsOsfdnlVi");
    assert_eq!(found(token), [("jwt", token)]);
    assert_eq!(found(&token.replace("eyJhbGci", "eyJhbGcx")), []);

    let body = "q7Zt2Lw9Xc4Vb8Nm3Kj6Hg5Fq7Zt2Lw9Xc4Vb8Nm3Kj6Hg5Fq7Zt2Lw9Xc4Vb8Nm3Kj6Hg5F";
    let key = format!("-----BEGIN {} KEY-----\n{body}\n-----END {} KEY-----", "RSA PRIVATE", "RSA PRIVATE");
    assert_eq!(found(&key)[0].0, "private-key");
    assert_eq!(found(&key.replace("PRIVATE", "PUBLIC")), []);
    assert_eq!(found("a file that begins with BEGIN PRIVATE KEY is a key"), []);

    let hash = concat!("$2a$12$", "R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW");
    assert_eq!(found(hash), [("password-hash", hash)]);

    assert_eq!(found("DATABASE_URL=postgresql://mem0:Lk2#vv9Qs@postgres:5432/m"), [("address-password", "Lk2#vv9Qs")]);
    assert_eq!(found("see https://host:8080/a@b and http://[::1]:80/"), []);
}

#[test]
fn personal_data_is_found_by_check_digits_form_and_words() {
    for (text, rule, value) in [
        ("write to ada.lovelace@mailbox.org.", "email-address", "ada.lovelace@mailbox.org"),
        ("bill 4111 1111 1111 1111 next time", "payment-card", "4111 1111 1111 1111"),
        ("card 378282246310005", "payment-card", "378282246310005"),
        ("pay to DE89 3704 0044 0532 0130 00 today", "iban", "DE89 3704 0044 0532 0130 00"),
        ("iban gb29nwbk60161331926819", "iban", "gb29nwbk60161331926819"),
        ("her number is +49 30 4768701", "phone-number", "+49 30 4768701"),
        ("call (415) 555-2671", "phone-number", "(415) 555-2671"),
        ("call me on 450 0840 tomorrow", "phone-number", "450 0840"),
        ("SSN 078-05-1120", "us-ssn", "078-05-1120"),
    ] {
        assert_eq!(found(text), [(rule, value)], "{text}");
    }
    for text in [
        "git@github.com:org/repo.git",
        "@scope/pkg@1.2.0",
        "user@localhost",
        "icon@2x.png",
        "4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "order 3422616436951850",
        "at 1786737329644 or 1786737329",
        "between 2024-05-12 and 2024-06-30",
        "2024-05-12 14:30:00,123",
        "0.2937745921655947",
        "192.168.100.200",
        "666-12-4390",
        "900-12-4390",
        "v1.36.12-8802028",
        "chapters 12 to 2024, 1,500,000 people",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn excerpts_show_a_public_beginning_at_most() {
    let body = "q7Zt2Lw9Xc4Vb8Nm3Kj6Hg5Fq7Zt2Lw9Xc4V";
    let text = format!("ghp_{body} and password=h4rb0rTig3r for ada@mailbox.org");
    let excerpts: Vec<String> = hits(text.as_bytes()).iter().map(|hit| hit.excerpt(text.as_bytes())).collect();
    assert_eq!(excerpts, ["ghp_****", "****", "****"]);
}

#[test]
fn fingerprints_depend_on_key_rule_and_place() {
    let hit = &hits(b"write to ada@mailbox.org")[0];
    let print = |scanner: &Scanner, place: &str| scanner.fingerprint(hit.rule, "database", place, b"ada@mailbox.org");
    let first = print(scanner(), "memories/1/content");
    assert_eq!(first, print(scanner(), "memories/1/content"));
    assert_ne!(first, print(scanner(), "memories/2/content"));
    assert_ne!(first, print(&Scanner::new(&[8; 32]), "memories/1/content"));
    assert_eq!(first.len(), 64);
}

/// Texts that make triggers or patterns work as much as they can.
fn adversaries() -> Vec<(&'static str, Vec<u8>)> {
    let repeat = |unit: &str| unit.repeat((1 << 18) / unit.len()).into_bytes();
    vec![
        ("one word", repeat("a1B2")),
        ("prefixes", repeat("sk-")),
        ("prefixes of one letter", repeat("eyJ.eyJ_")),
        ("passwords", repeat("password ")),
        ("password assignments", repeat("pw=pw=")),
        ("addresses", repeat("a://b:c@")),
        ("at signs", repeat("a@b.")),
        ("digits", repeat("4111111111111111")),
        ("dates", repeat("2024-05-12 ")),
        ("signs", repeat("+1 (")),
        ("private keys", repeat("-----BEGIN PRIVATE KEY-----")),
        ("blanks", repeat("        ")),
        ("dollars", repeat("$2a$12$aaaaaaaaaaaaaaaaaaaaaaaa")),
        ("inner keywords", repeat("Q~JQQJ99AZDO.atlasv1.")),
    ]
}

#[test]
fn the_work_is_bounded_by_the_length_whatever_the_text() {
    let scanner = scanner();
    for (name, text) in adversaries() {
        let work = |text: &[u8]| scanner.scan(text, |_| {});
        let (half, whole) = (work(&text[..text.len() / 2]), work(&text));
        assert!(whole <= 2 * half + half / 8 + 100_000, "{name}: {half} for half, {whole} for the whole");
        assert!(whole <= 800 * text.len() as u64, "{name}: {whole} bytes of work for {}", text.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_scanned_in_order_and_shown_masked(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "[ -~]{0,60}".prop_map(String::into_bytes),
                "(password|token|api_key|Phone)( is |=|: ?\"?)[!-~]{0,40}".prop_map(String::into_bytes),
                "[a-z]{2,8}://[!-~]{0,30}:[!-~]{0,30}@[a-z.]{0,10}".prop_map(String::into_bytes),
                "(ghp_|sk-ant-|eyJ|AKIA|xoxb-)[A-Za-z0-9._-]{0,60}".prop_map(String::into_bytes),
                "[+]?[0-9 ().-]{0,30}".prop_map(String::into_bytes),
                "[a-z0-9.]{0,12}@[a-z0-9.-]{0,16}".prop_map(String::into_bytes),
            ],
            0..8,
        )
    ) {
        let text = parts.concat();
        let mut end = 0;
        for hit in hits(&text) {
            prop_assert!(hit.span.start >= end && hit.span.end <= text.len() && !hit.span.is_empty(), "{hit:?}");
            end = hit.span.end;
            let value = &text[hit.span.clone()];
            let excerpt = hit.excerpt(&text);
            let shown = excerpt.strip_suffix("****").unwrap();
            prop_assert!(shown.len() <= 4 && shown.len() * 4 <= value.len());
            prop_assert!(value.starts_with(shown.as_bytes()));
            prop_assert!(shown.is_empty() || matches!(hit.rule.kind, Kind::Token | Kind::Secret));
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_stands(before in "[a-z ,.\n]{0,200}", after in "[a-z ,.\n]{0,200}", body in "[A-Za-z0-9]{36}") {
        let value = format!("ghp_{body}");
        let text = format!("{before} {value} {after}");
        prop_assert!(found(&text).contains(&("github-token", value.as_str())), "{text}");
    }
}
