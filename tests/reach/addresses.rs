use memorybank::domain::{PgvectorEndpoint, Reach, ReachReason, VectorStore};

use crate::standin::StandIn;
use crate::{ask, ask_plainly, bank, key, missed, put_secret, with_api, with_qdrant};

#[tokio::test]
async fn addresses_of_the_machines_own_network_are_never_called_however_written() {
    for host in [
        "169.254.169.254",
        "169.254.1.1:80",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.254.169.254.",
        "%31%36%39.254.169.254",
        "１６９.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]:8080",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
        "100.100.100.200",
    ] {
        for bank in [with_api(&format!("http://{host}")), with_qdrant(&format!("https://{host}/base"))] {
            let (reason, message) = missed(ask_plainly(&bank).await);
            assert_eq!(reason, ReachReason::AddressForbidden, "{host}: {message}");
            assert!(message.contains("never called"), "{host}: {message}");
        }
    }
}

#[tokio::test]
async fn a_database_url_leads_to_no_such_address_either() {
    let folder = tempfile::tempdir().unwrap();
    let secret = key("vectors", "url");
    let endpoint = PgvectorEndpoint { url: secret.clone(), table: "openmemory".to_owned() };
    let bank = memorybank::domain::Bank { vector_store: Some(VectorStore::Pgvector(endpoint)), ..bank() };
    for host in ["169.254.169.254", "0xa9fea9fe", "2852039166", "[fe80::1]", "[::ffff:169.254.169.254]"] {
        for query in ["", "?sslmode=require"] {
            put_secret(folder.path(), &secret, &format!("postgres://u:hunter2@{host}/db{query}"));
            let (reason, message) = missed(ask(&bank, folder.path()).await.outcome);
            assert_eq!(reason, ReachReason::AddressForbidden, "{host}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    for url in [
        "postgres://u:hunter2@db.example/db?host=169.254.169.254",
        "postgres://u:hunter2@db.example/db?hostaddr=169.254.169.254",
    ] {
        put_secret(folder.path(), &secret, url);
        assert_eq!(missed(ask(&bank, folder.path()).await.outcome).0, ReachReason::AddressForbidden, "{url}");
    }
    for url in ["postgres://u:hunter2@%2Ftmp/db", "postgres:///db?host=/tmp&user=u", "hunter2"] {
        put_secret(folder.path(), &secret, url);
        let (reason, message) = missed(ask(&bank, folder.path()).await.outcome);
        assert_eq!(reason, ReachReason::SecretUnreadable, "{url}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// A proxy that the environment names would be told the address and call it itself.
#[tokio::test]
async fn nothing_goes_through_a_proxy_or_to_where_a_redirect_leads() {
    let (server, elsewhere) = (StandIn::start(), StandIn::start());
    server.set(crate::standin::Mode::Redirect(format!("{}/api/v1/stats/?user_id=default_user", elsewhere.url())));
    let (reason, message) = missed(ask_plainly(&with_api(&server.url())).await);
    assert_eq!(reason, ReachReason::ApiError);
    assert!(message.contains("HTTP 307"), "{message}");
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    server.set(crate::standin::Mode::Good);
    assert_eq!(ask_plainly(&with_api(&server.url())).await, Reach::Reached);
}
