use super::copies::Copies;
use super::{Exchange, Runner};
use crate::domain::{BackupVerdict, LatestSet, Output, VerifiedSets};
use crate::runner::body::Body;

impl<E: Exchange> Runner<E> {
    /// The sets that are known to be good, those of earlier tasks of this run too. A list that cannot be read knows of
    /// none. What an older version left knows of one alone.
    pub(super) async fn verified_sets(&self, copies: &Copies<'_>) -> Result<VerifiedSets, String> {
        if let Some(verified) = &copies.verified {
            return Ok(verified.clone());
        }
        let told = |error: super::ExchangeError| error.to_string();
        if let Some(bytes) = self.exchange.input(VerifiedSets::OUTPUT).await.map_err(told)? {
            return Ok(serde_json::from_slice(&bytes).unwrap_or_default());
        }
        let verdict = self.exchange.input(BackupVerdict::OUTPUT).await.map_err(told)?;
        let verdict = verdict.and_then(|bytes| serde_json::from_slice::<BackupVerdict>(&bytes).ok());
        let Some(mut verified) = verdict.and_then(|verdict| verdict.verified) else {
            return Ok(VerifiedSets::default());
        };
        let latest = self.exchange.input(LatestSet::OUTPUT).await.map_err(told)?;
        let latest = latest.and_then(|bytes| serde_json::from_slice::<LatestSet>(&bytes).ok());
        verified.manifest = latest.filter(|latest| latest.set == verified.set).map(|latest| latest.manifest);
        Ok(VerifiedSets { sets: vec![verified] })
    }

    /// Leaves the list for later runs, and for the tasks that follow in this one.
    pub(super) async fn leave_verified(
        &self,
        verified: VerifiedSets,
        copies: &mut Copies<'_>,
        body: &mut Body,
    ) -> Result<(), String> {
        let bytes = serde_json::to_vec(&verified).map_err(|error| error.to_string())?;
        let digest = self.exchange.output(VerifiedSets::OUTPUT, bytes).await.map_err(|error| error.to_string())?;
        body.outputs.push(Output { name: VerifiedSets::OUTPUT.to_owned(), digest });
        copies.verified = Some(verified);
        Ok(())
    }
}
