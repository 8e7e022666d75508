//! Samples of what answers over the network, taken by the leader.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::key::Key;
use super::secrets::ClusterSecrets;
use crate::bank::reach::ReachError;
use crate::sampler::{Banks, Sampled, Sampler};

/// Banks that came or changed are gathered for so long.
const GATHER: Duration = Duration::from_secs(1);
/// Banks that were sampled anew and not looked at yet.
const PENDING: usize = 256;

/// Begins to sample; until `stop`.
pub fn sample(
    cx: &Arc<Context>,
    secrets: ClusterSecrets,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), ReachError> {
    let sampler = Sampler::new(Arc::clone(&cx.store), Arc::new(secrets))?;
    let (banks, sampled) = watch::channel(Banks::default());
    let (changed, mut news) = mpsc::channel(PENDING);
    tasks.spawn(sampler.run(sampled, changed, stop.clone()));
    let shared = Arc::clone(cx);
    tasks.spawn(async move {
        while let Some((namespace, name)) = news.recv().await {
            shared.stored(&Key::new(namespace, name));
        }
    });
    let (shared, stop) = (Arc::clone(cx), stop.clone());
    tasks.spawn(async move {
        loop {
            banks.send_replace(Arc::new(to_sample(&shared)));
            let changed = async {
                shared.sampled.notified().await;
                tokio::time::sleep(GATHER).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed => {}
            }
        }
    });
    Ok(())
}

/// Every bank that is not suspended and has a part that answers over the network.
fn to_sample(cx: &Context) -> Vec<Sampled> {
    let banks = cx.world.banks.all();
    let usable = banks.iter().filter_map(|bank| bank.valid.as_ref().ok().filter(|valid| !valid.suspend));
    usable
        .filter(|valid| !valid.bank.network_parts().is_empty())
        .map(|valid| Sampled {
            namespace: valid.meta.namespace.clone(),
            bank: Arc::new(valid.bank.clone()),
            interval_seconds: valid.sampling_interval_seconds,
        })
        .collect()
}
