use std::path::Path;

use memorybank::domain::{Bank, PgvectorEndpoint, PostgresEndpoint, Reach, ReachReason, SqlDatabase, VectorStore};

use crate::postgres_server::Postgres;
use crate::{ask, bank, key, missed, put_secret};

fn with_database(schema: &str) -> Bank {
    let endpoint = PostgresEndpoint { url: key("db", "url"), schema: schema.to_owned() };
    Bank { database: Some(SqlDatabase::Postgres(endpoint)), ..bank() }
}

fn with_pgvector(table: &str) -> Bank {
    let endpoint = PgvectorEndpoint { url: key("db", "url"), table: table.to_owned() };
    Bank { vector_store: Some(VectorStore::Pgvector(endpoint)), ..bank() }
}

async fn ask_at(bank: &Bank, folder: &Path, url: &str) -> Reach {
    put_secret(folder, &key("db", "url"), url);
    ask(bank, folder).await.outcome
}

#[tokio::test]
async fn a_database_is_reached_where_its_table_is() {
    let Some(server) = Postgres::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = server.database();
    let name = url.rsplit_once('/').unwrap().1;
    let (reason, message) = missed(ask_at(&with_database("public"), folder.path(), &url).await);
    assert_eq!(reason, ReachReason::DatabaseUnreachable);
    assert!(message.contains("has no table memories in the schema public"), "{message}");
    server.psql(name, "CREATE TABLE memories (id uuid)");
    assert_eq!(ask_at(&with_database("public"), folder.path(), &url).await, Reach::Reached);
    assert_eq!(ask_at(&with_database("public"), folder.path(), &format!("{url}\n")).await, Reach::Reached);
    let other = ask_at(&with_database("other"), folder.path(), &url).await;
    assert_eq!(missed(other).0, ReachReason::DatabaseUnreachable);

    let gone = ask_at(&with_pgvector("openmemory"), folder.path(), &url).await;
    assert_eq!(missed(gone).0, ReachReason::VectorStoreUnreachable);
    server.psql(name, "CREATE TABLE openmemory (id uuid)");
    assert_eq!(ask_at(&with_pgvector("openmemory"), folder.path(), &url).await, Reach::Reached);

    let (reason, message) = missed(ask_at(&with_database("public"), folder.path(), &format!("{url}_gone")).await);
    assert_eq!(reason, ReachReason::DatabaseUnreachable);
    assert!(message.contains("has no database of that name"), "{message}");
    // TLS that is asked for is not gone without.
    let (reason, message) =
        missed(ask_at(&with_database("public"), folder.path(), &format!("{url}?sslmode=require")).await);
    assert_eq!(reason, ReachReason::DatabaseUnreachable);
    assert!(message.contains("TLS"), "{message}");
}

#[tokio::test]
async fn a_wrong_password_is_told_apart_and_never_shown() {
    let Some(server) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    server.psql("postgres", "CREATE TABLE memories (id uuid)");
    server.psql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'r1ght'");
    server.require_password("reader");
    let url = server.url("postgres");
    let host = url.split_once('@').unwrap().1;
    let good = format!("postgres://reader:r1ght@{host}");
    assert_eq!(ask_at(&with_database("public"), folder.path(), &good).await, Reach::Reached);
    for url in [format!("postgres://reader:wr0ng@{host}"), format!("postgres://reader@{host}")] {
        let (reason, message) = missed(ask_at(&with_database("public"), folder.path(), &url).await);
        assert_eq!(reason, ReachReason::AuthenticationFailed, "{message}");
        assert!(!message.contains("wr0ng") && !message.contains("reader"), "{message}");
        assert!(message.contains("SQLSTATE 28P01"), "{message}");
    }
    server.crash();
    let (reason, message) = missed(ask_at(&with_database("public"), folder.path(), &good).await);
    assert_eq!(reason, ReachReason::DatabaseUnreachable);
    assert!(message.contains("refuses connections"), "{message}");
    server.restart();
    assert_eq!(ask_at(&with_database("public"), folder.path(), &good).await, Reach::Reached);
}
