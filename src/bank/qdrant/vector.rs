//! Reads a point's id and its dense vector straight into numbers: there are hundreds of millions of them.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::domain::PointId;

/// A point's id: a number, or a UUID as text.
#[derive(Clone, Copy)]
pub(super) struct Id(pub PointId);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a UUID")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id(PointId::Number(number)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Uuid::try_parse(text).map(|uuid| Id(PointId::Uuid(uuid.as_u128()))).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// The dense vector of a point: a list, or among others by name. What is not a number is JSON's `null`.
#[derive(Default)]
pub(super) struct Vector(pub Option<Vec<f32>>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Vector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector, or vectors by name")
            }
            fn visit_unit<E: Error>(self) -> Result<Vector, E> {
                Ok(Vector(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vector, A::Error> {
                Ok(Vector(Some(numbers(list)?)))
            }
            /// Sparse vectors are passed over; of several dense ones the one without a name counts.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vector, A::Error> {
                let mut found = None;
                while let Some(name) = map.next_key::<String>()? {
                    let Of(Some(numbers)) = map.next_value()? else { continue };
                    if name.is_empty() || found.is_none() {
                        found = Some(numbers);
                    }
                }
                Ok(Vector(found))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

fn numbers<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<f32>, A::Error> {
    let mut numbers = Vec::with_capacity(512);
    while let Some(number) = list.next_element::<Option<f32>>()? {
        numbers.push(number.unwrap_or(f32::NAN));
    }
    Ok(numbers)
}

/// One of several vectors: dense, or sparse and passed over.
struct Of(Option<Vec<f32>>);

impl<'de> Deserialize<'de> for Of {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Of;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Of, A::Error> {
                Ok(Of(Some(numbers(list)?)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Of, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Of(None))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(json: &str) -> Option<Vec<f32>> {
        serde_json::from_str::<Vector>(json).unwrap().0
    }

    #[test]
    fn a_vector_is_found_in_each_form() {
        assert_eq!(vector("[0.5, -1, 2e-3]"), Some(vec![0.5, -1.0, 0.002]));
        assert_eq!(vector(r#"{"": [1.0], "bm25": {"indices": [1, 2], "values": [0.1, 0.2]}}"#), Some(vec![1.0]));
        assert_eq!(vector(r#"{"bm25": {"indices": [], "values": []}, "text": [2.0], "": [1.0]}"#), Some(vec![1.0]));
        assert_eq!(vector(r#"{"bm25": {"indices": [], "values": []}}"#), None);
        assert_eq!(vector("null"), None);
        let odd = vector("[1.0, null]").unwrap();
        assert!(odd[0].to_bits() == 1.0_f32.to_bits() && odd[1].is_nan());
        assert!(serde_json::from_str::<Vector>(r#"["x"]"#).is_err());
    }

    #[test]
    fn numbers_are_read_back_bit_for_bit() {
        let mut bits = 0x3f80_0001_u32;
        let numbers: Vec<f32> = std::iter::repeat_with(|| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(bits)
        })
        .filter(|number| number.is_finite())
        .take(20_000)
        .collect();
        let read = vector(&serde_json::to_string(&numbers).unwrap()).unwrap();
        assert!(numbers.iter().zip(&read).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn ids_are_numbers_or_uuids() {
        let id = |json: &str| serde_json::from_str::<Id>(json).map(|id| id.0).ok();
        assert_eq!(id("7"), Some(PointId::Number(7)));
        assert_eq!(id(r#""00000000-0000-0000-0000-00000000000a""#), Some(PointId::Uuid(10)));
        assert_eq!(id("-1"), None);
        assert_eq!(id(r#""x""#), None);
    }
}
