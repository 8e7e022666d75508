//! A collection of the points that the rows of a bank should have.

use memorybank::domain::PointId;

use crate::bed::Bed;
use crate::guardian::query;
use crate::qdrant::{Config, Qdrant, memory, unit};

/// Makes the collection, with vectors of so many numbers.
pub fn fill(bed: &Bed, server: &Qdrant, collection: &str, size: usize) {
    let mut number = 0;
    fill_with(bed, server, collection, size, |_| {
        number += 1;
        unit(number - 1, size)
    });
}

/// Makes the collection, with the vectors that texts are given.
pub fn fill_with(bed: &Bed, server: &Qdrant, collection: &str, size: usize, mut embed: impl FnMut(&str) -> Vec<f32>) {
    server.create(collection, Config::cosine(size));
    let rows = "SELECT m.id, m.content, u.user_id FROM memories m JOIN users u ON u.id = m.user_id \
                WHERE m.state <> 'deleted'";
    for row in query(&bed.live().join("openmemory.db"), rows) {
        let id = PointId::Uuid(u128::from_str_radix(&row[0], 16).unwrap());
        server.put(collection, id, memory(&row[1], &row[2]), Some(embed(&row[1])));
    }
}
