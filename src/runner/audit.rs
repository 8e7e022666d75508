use std::sync::Arc;

use super::body::Body;
use super::copies::{Copies, DATABASE, HISTORY, blocking};
use super::{Exchange, Runner};
use crate::bank::leaks::LeakScan;
use crate::bank::{Meter, leaks, sqlite};
use crate::domain::{AuditScope, Bank, Check};
use crate::engine::audit::leak::Scanner;

impl<E: Exchange> Runner<E> {
    /// Audits each scope of a bank.
    pub(super) async fn audit(
        &self,
        bank: &Bank,
        scopes: &[AuditScope],
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        for scope in scopes {
            let first = body.checks.len();
            match scope {
                AuditScope::Leaks => self.find_leaks(bank, copies, meter, body).await?,
                AuditScope::Erasure => self.check_erasure(bank, copies, meter, body).await?,
                AuditScope::Posture | AuditScope::Probes | AuditScope::Vulnerabilities | AuditScope::Access => {
                    body.not_built(scope.name());
                    continue;
                }
            }
            body.close_scope(scope.name(), first);
        }
        Ok(())
    }

    async fn key(&self) -> Result<[u8; 32], String> {
        self.exchange.fingerprint_key().await.map_err(|error| error.to_string())
    }

    /// Scans the databases' texts, then the text files of every volume.
    async fn find_leaks(
        &self,
        bank: &Bank,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let scanner = Arc::new(Scanner::new(&self.key().await?));
        let database = copies.database(bank, meter).await?;
        let history = copies.history(bank, meter).await?;
        if bank.database.is_some() && database.is_none() {
            body.checks.push(Check::unknown("leaks", DATABASE, "this version cannot read PostgreSQL"));
        }
        for (copied, component) in [(&database, DATABASE), (&history, HISTORY)] {
            let Some(copied) = copied else { continue };
            match &copied.copy {
                None => body.checks.push(no_copy("leaks", component)),
                Some(copy) if component == DATABASE => {
                    let scan = leaks::scan_database(&copy.path(), component, &scanner, meter).await;
                    take(body, scan.map_err(|cancelled| cancelled.to_string())?);
                }
                Some(copy) => {
                    let scan = leaks::scan_history(&copy.path(), component, &scanner, meter).await;
                    take(body, scan.map_err(|cancelled| cancelled.to_string())?);
                }
            }
        }
        for volume in &bank.volumes {
            match self.places.volume(volume) {
                Err(why) => body.checks.push(Check::unknown("leaks", &format!("volume/{volume}"), why)),
                Ok(root) => {
                    let (root, volume) = (root.to_owned(), volume.clone());
                    let (scanner, shared) = (Arc::clone(&scanner), Arc::clone(meter));
                    let scan = blocking(move || leaks::scan_volume(&root, &volume, &scanner, &shared)).await?;
                    take(body, scan.map_err(|cancelled| cancelled.to_string())?);
                }
            }
        }
        Ok(())
    }

    /// Looks for text of deleted memories.
    async fn check_erasure(
        &self,
        bank: &Bank,
        copies: &mut Copies<'_>,
        meter: &Arc<Meter>,
        body: &mut Body,
    ) -> Result<(), String> {
        let database = copies.database(bank, meter).await?;
        let history = copies.history(bank, meter).await?;
        let Some(database) = database else {
            body.checks.push(Check::unknown("erasure", DATABASE, "no database that this version can read"));
            return Ok(());
        };
        let Some(memories) = &database.copy else {
            body.checks.push(no_copy("erasure", DATABASE));
            return Ok(());
        };
        let events = history.as_ref().and_then(|history| history.copy.as_ref());
        if history.is_some() && events.is_none() {
            body.checks.push(no_copy("erasure", HISTORY));
        }
        let events = events.map(sqlite::SqliteCopy::path);
        let (checks, findings) = sqlite::erasure(&memories.path(), events.as_deref(), &self.key().await?, meter)
            .await
            .map_err(|error| error.to_string())?;
        body.checks.extend(checks);
        body.findings.extend(findings);
        Ok(())
    }
}

fn no_copy(check: &str, component: &str) -> Check {
    Check::unknown(check, component, "no copy of the file could be made; sqlite-copy of an integrity check tells why")
}

fn take(body: &mut Body, scan: LeakScan) {
    body.checks.extend(scan.checks);
    body.findings.extend(scan.findings);
    body.omitted += scan.omitted;
}
