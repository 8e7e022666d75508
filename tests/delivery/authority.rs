//! Certificates: when they are good, when they are renewed, and what becomes of a Secret that is not as it should be.

use jiff::{SignedDuration, Timestamp};
use memorybank::delivery::{Authority, Change, Parts};

use crate::bed::names;

fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn parts(authority: &Authority) -> Parts<'_> {
    let data = authority.parts().map(|(_, text)| text.as_bytes());
    Parts { ca_crt: data[0], ca_key: data[1], tls_crt: data[2], tls_key: data[3] }
}

const EMPTY: Parts<'_> = Parts { ca_crt: b"", ca_key: b"", tls_crt: b"", tls_key: b"" };

#[test]
fn an_empty_secret_is_filled_and_then_kept() {
    let (made, change) = Authority::settle(EMPTY, &names(), now()).unwrap();
    assert_eq!(change, Change::Made);
    assert_eq!(made.parts().map(|(key, _)| key), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    for later in [0, 1, 59] {
        let (kept, change) = Authority::settle(parts(&made), &names(), now() + days(later)).unwrap();
        assert_eq!((kept == made, change), (true, Change::Kept), "{later}");
    }
}

#[test]
fn a_server_is_renewed_at_two_thirds_of_its_life_by_the_same_authority() {
    let made = Authority::make(&names(), now()).unwrap();
    let due = made.renew_at();
    // A certificate holds from an hour before it is made.
    assert_eq!(due, now() + days(60) - SignedDuration::from_mins(20));
    let (_, change) = Authority::settle(parts(&made), &names(), due - SignedDuration::from_secs(1)).unwrap();
    assert_eq!(change, Change::Kept);
    let (renewed, change) = Authority::settle(parts(&made), &names(), due).unwrap();
    assert_eq!(change, Change::Renewed);
    assert_eq!(renewed.ca(), made.ca());
    assert!(renewed.serves(&names(), due + days(89)) && !made.serves(&names(), due + days(89)));
    // Nobody looked for a year: the authority is good yet.
    assert_eq!(Authority::settle(parts(&made), &names(), now() + days(365)).unwrap().1, Change::Renewed);
}

#[test]
fn an_authority_is_renewed_with_its_key_so_that_who_trusts_the_old_one_trusts_both() {
    let made = Authority::make(&names(), now()).unwrap();
    let later = now() + days(2_440);
    let (renewed, change) = Authority::settle(parts(&made), &names(), later).unwrap();
    assert_eq!(change, Change::Renewed);
    assert_ne!(renewed.ca(), made.ca());
    let [_, (_, key), (_, server), (_, server_key)] = renewed.parts();
    let of_both = Authority::read(Parts {
        ca_crt: made.ca().as_bytes(),
        ca_key: key.as_bytes(),
        tls_crt: server.as_bytes(),
        tls_key: server_key.as_bytes(),
    });
    assert!(of_both.unwrap().serves(&names(), later), "the old authority vouches for the new server");
    // After its end there is nothing to keep.
    assert_eq!(Authority::settle(parts(&made), &names(), now() + days(3_651)).unwrap().1, Change::Made);
}

#[test]
fn other_names_ask_for_another_certificate() {
    let made = Authority::make(&names(), now()).unwrap();
    let other = ["memorybank.elsewhere.svc".to_owned()];
    assert!(!made.serves(&other, now()));
    let (renewed, change) = Authority::settle(parts(&made), &other, now()).unwrap();
    assert_eq!(change, Change::Renewed);
    assert!(renewed.serves(&other, now()) && !renewed.serves(&names(), now()));
    assert!(!made.serves(&[], now()), "for nobody it is no certificate");
    assert!(Authority::make(&["not a name \u{fc}".to_owned()], now()).is_err());
}

#[test]
fn before_its_time_and_after_it_a_certificate_is_none() {
    let made = Authority::make(&names(), now()).unwrap();
    assert!(made.serves(&names(), now() - SignedDuration::from_mins(59)), "clocks differ");
    assert!(!made.serves(&names(), now() - SignedDuration::from_mins(61)));
    assert!(made.serves(&names(), now() + days(90) - SignedDuration::from_secs(1)));
    assert!(!made.serves(&names(), now() + days(90) + SignedDuration::from_secs(1)));
}

#[test]
fn parts_that_do_not_fit_together_are_made_anew() {
    let (one, two) = (Authority::make(&names(), now()).unwrap(), Authority::make(&names(), now()).unwrap());
    let (a, b) = (parts(&one), parts(&two));
    let junk: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (told, mixed, expected) in [
        ("the server's key is another", Parts { tls_key: b.tls_key, ..a }, Change::Renewed),
        ("the server is of another authority", Parts { tls_crt: b.tls_crt, tls_key: b.tls_key, ..a }, Change::Renewed),
        ("the server is missing", Parts { tls_crt: b"", tls_key: b"", ..a }, Change::Renewed),
        ("the server is junk", Parts { tls_crt: junk, ..a }, Change::Renewed),
        ("the authority's key is another", Parts { ca_key: b.ca_key, ..a }, Change::Made),
        ("the authority's key is missing", Parts { ca_key: b"", ..a }, Change::Made),
        ("the authority is junk", Parts { ca_crt: junk, ..a }, Change::Made),
        ("the authority is no text", Parts { ca_crt: b"\xff\xfe", ..a }, Change::Made),
        ("a server poses as authority", Parts { ca_crt: a.tls_crt, ca_key: a.tls_key, ..a }, Change::Made),
    ] {
        let (settled, change) = Authority::settle(mixed, &names(), now()).unwrap();
        assert_eq!(change, expected, "{told}");
        assert!(settled.serves(&names(), now()), "{told}");
        assert_eq!(settled.ca() == one.ca(), expected == Change::Renewed, "{told}");
        settled.server_config().unwrap();
    }
}

#[test]
fn keys_are_not_shown() {
    let made = Authority::make(&names(), now()).unwrap();
    let shown = format!("{made:?}");
    assert!(!shown.contains("KEY") && shown.len() < 400, "{shown}");
    let [_, (_, ca_key), _, (_, key)] = made.parts();
    assert!(ca_key.contains("PRIVATE KEY") && key.contains("PRIVATE KEY"));
}
