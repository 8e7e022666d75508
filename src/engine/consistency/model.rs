use crate::domain::{Check, CorruptionEvent, CorruptionType, PointId, Severity};
use crate::engine::integrity::vectors::VECTORS;

/// The check that all vectors are of one model (I10).
pub const MODEL: &str = "vectors-model";
/// How many points are drawn.
pub const SAMPLE: usize = 16;
/// The least cosine of two vectors that one model made of one text. Nothing else changes between them but rounding, also
/// where the store keeps them in 8 bits.
const SAME: f64 = 0.99;
/// The most ids that are told.
const TOLD: usize = 3;

/// Some points, drawn at random, against what the declared model makes of their texts now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// Whether there is no point at all.
    pub empty: bool,
    /// Of how many the vectors were compared.
    pub compared: usize,
    /// Those which another model made, with the cosine of both vectors.
    pub others: Vec<(PointId, f64)>,
}

impl Sampled {
    /// Compares the vector of a point with what the model makes of its text.
    pub fn see(&mut self, id: PointId, stored: &[f32], made: &[f32]) {
        self.compared += 1;
        let cosine = cosine(stored, made);
        // One that is no number is none of the model's either.
        if cosine.is_nan() || cosine < SAME {
            self.others.push((id, cosine));
        }
    }

    /// What it says of the vectors of the bank.
    pub fn judge(&self, model: &str) -> (Check, Option<CorruptionEvent>) {
        let compared = self.compared;
        let Some((_, first)) = self.others.first() else {
            let check = match (compared, self.empty) {
                (0, true) => Check::passed(MODEL, VECTORS, "there are no points"),
                (0, false) => Self::unknown("no point that was drawn has a text and a vector to compare"),
                _ => {
                    let detail = "points drawn at random have the vectors that";
                    Check::passed(MODEL, VECTORS, format!("{compared} of {compared} {detail} {model} makes"))
                }
            };
            return (check, None);
        };
        let (low, high) = self.others.iter().fold((*first, *first), |(low, high), (_, c)| (low.min(*c), high.max(*c)));
        let ids: Vec<_> = self.others.iter().take(TOLD).map(|(id, _)| id.to_string()).collect();
        let evidence = format!(
            "{} of {compared} points drawn at random: cosine {low:.3} to {high:.3} with what {model} makes of their \
             texts; {}",
            self.others.len(),
            ids.join(", ")
        );
        let event = CorruptionEvent {
            check: MODEL.to_owned(),
            component: VECTORS.to_owned(),
            corruption_type: CorruptionType::DataInconsistency,
            invariant: Some("I10".to_owned()),
            severity: Severity::High,
            object: "vectors".to_owned(),
            count: self.others.len() as u64,
            evidence: evidence.clone(),
            advice: "Correct spec.embedding if the bank uses another model; if the model was changed, embed all \
                     memories again: vectors of two models cannot be compared with each other"
                .to_owned(),
        };
        (Check::failed(MODEL, VECTORS, evidence), Some(event))
    }

    /// That it could not be measured.
    pub fn unknown(why: impl Into<String>) -> Check {
        Check::unknown(MODEL, VECTORS, why.into())
    }
}

/// The cosine of the angle between two vectors; not a number where one of them has no length, or the lengths of their
/// lists differ.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        aa += a * a;
        bb += b * b;
    }
    dot / (aa.sqrt() * bb.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_the_models_whatever_its_length_and_rounding() {
        let mut sampled = Sampled::default();
        sampled.see(PointId::Number(1), &[0.6, 0.8], &[3.0, 4.0]);
        sampled.see(PointId::Number(2), &[0.61, 0.79], &[3.0, 4.0]);
        assert_eq!((sampled.compared, &sampled.others[..]), (2, &[][..]));
        let (check, event) = sampled.judge("m");
        assert_eq!(
            (check, event),
            (Check::passed(MODEL, VECTORS, "2 of 2 points drawn at random have the vectors that m makes"), None)
        );
    }

    #[test]
    fn another_model_is_told_with_how_far_it_is_off() {
        let mut sampled = Sampled::default();
        sampled.see(PointId::Number(1), &[0.6, 0.8], &[3.0, 4.0]);
        sampled.see(PointId::Number(2), &[0.8, 0.6], &[3.0, 4.0]);
        sampled.see(PointId::Number(3), &[0.0, 0.0], &[3.0, 4.0]);
        sampled.see(PointId::Number(4), &[0.6, 0.8, 0.0], &[3.0, 4.0]);
        let (_, event) = sampled.judge("m");
        let event = event.unwrap();
        assert_eq!((event.count, event.invariant.as_deref()), (3, Some("I10")));
        assert!(event.evidence.starts_with("3 of 4 points drawn at random: cosine 0.960"), "{}", event.evidence);
    }
}
