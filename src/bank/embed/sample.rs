use std::collections::BTreeMap;

use super::{EmbedError, Embedder};
use crate::bank::vectors::{Reading, VectorError, VectorSource};
use crate::domain::{Point, PointId};
use crate::engine::consistency::{SAMPLE, Sampled};
use crate::engine::integrity::vectors::Collection;

/// How many points are read at each place that is drawn: the first that can be compared is taken.
const NEXT: usize = 4;

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The points cannot be read.
    #[error("{0}")]
    Points(#[from] VectorError),
    /// The model gives no vectors.
    #[error("{0}")]
    Model(#[from] EmbedError),
}

/// Draws points of a collection at random, and compares their vectors with what a model makes of their texts.
///
/// # Errors
/// The points cannot be read, or the model does not answer as one.
pub async fn sample(
    embedder: &mut Embedder,
    source: &VectorSource,
    collection: &Collection,
) -> Result<Sampled, SampleError> {
    let mut drawn: BTreeMap<PointId, (String, Vec<f32>)> = BTreeMap::new();
    let mut empty = false;
    // The first ones too: a few ids, or such as mem0 does not make, are missed by what is drawn.
    for from in std::iter::once(None).chain((1..SAMPLE).map(|_| Some(PointId::Uuid(rand::random())))) {
        let mut walk = source.walk(collection, Reading { payload: true, vector: true, from }).await?.at_most(NEXT);
        let page = walk.next().await?.unwrap_or_default();
        empty |= from.is_none() && page.is_empty();
        if let Some((id, text, vector)) = page.into_iter().find_map(comparable) {
            drawn.insert(id, (text, vector));
        }
    }
    let mut sampled = Sampled { empty, ..Sampled::default() };
    if drawn.is_empty() {
        return Ok(sampled);
    }
    let texts: Vec<&str> = drawn.values().map(|(text, _)| text.as_str()).collect();
    let made = embedder.embed(&texts).await?;
    for ((id, (_, stored)), made) in drawn.iter().zip(&made) {
        sampled.see(*id, stored, made);
    }
    Ok(sampled)
}

/// A point whose text and vector belong together, as far as itself tells.
fn comparable(point: Point) -> Option<(PointId, String, Vec<f32>)> {
    let (text, vector) = (point.payload.data?, point.vector?);
    // Zeros and what is no number are told as damage, and say nothing of a model.
    let sound = vector.iter().all(|number| number.is_finite()) && vector.iter().any(|number| *number != 0.0);
    (sound && !text.is_empty()).then_some((point.id, text, vector))
}
