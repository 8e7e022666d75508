//! One source of points whatever the store: their order, and where a walk begins.

use memorybank::bank::vectors::{Reading, VectorError, VectorSource};
use memorybank::domain::{Point, PointId};

use crate::qdrant::{Answer, Config, Qdrant};
use crate::{NAME, SIZE, healthy, id, no_secrets, of_qdrant};

pub async fn source(server: &Qdrant) -> VectorSource {
    let bank = of_qdrant(&server.url());
    VectorSource::open("default", bank.vector_store.as_ref().unwrap(), &no_secrets()).await.unwrap()
}

/// Every point, walked page by page.
pub async fn walk(source: &VectorSource, reading: Reading) -> Result<Vec<Point>, VectorError> {
    let collection = source.collection().await?;
    let mut walk = source.walk(&collection, reading).await?;
    let mut points = Vec::new();
    while let Some(page) = walk.next().await? {
        assert!(!page.is_empty());
        points.extend(page);
    }
    assert_eq!(walk.last(), points.last().map(|point| point.id));
    Ok(points)
}

#[tokio::test]
async fn every_point_comes_once_and_in_order_over_many_pages() {
    let server = Qdrant::start();
    server.generate(NAME, Config::cosine(SIZE), 7, 25_000);
    server.remove(NAME, server.ids(NAME)[17]);
    server.put(NAME, PointId::Number(3), crate::memory("three", "alice"), Some(crate::unit(3, SIZE)));
    let source = source(&server).await;
    let ids: Vec<PointId> = walk(&source, Reading::IDS).await.unwrap().iter().map(|point| point.id).collect();
    assert_eq!((ids.len(), ids[0]), (25_000, PointId::Number(3)));
    assert!(ids.is_sorted() && ids == server.ids(NAME));
    assert!(server.requests().iter().filter(|request| request.contains("scroll")).count() > 2);
    let from = ids[20_000];
    let rest = walk(&source, Reading { from: Some(from), ..Reading::ALL }).await.unwrap();
    assert_eq!((rest.len(), rest[0].id), (5_000, from));
    assert!(rest.iter().all(|point| point.vector.is_some() && point.payload.data.is_some()));
    assert_eq!(source.count().await.unwrap(), 25_000);
}

#[tokio::test]
async fn a_store_that_goes_back_is_not_walked_for_ever() {
    let server = healthy(1);
    let source = source(&server).await;
    let point = format!(r#"{{"id":"{}","payload":{{}},"vector":[1]}}"#, id(1));
    let body =
        format!(r#"{{"result":{{"points":[{point}],"next_page_offset":"{}"}},"status":"ok","time":0.1}}"#, id(1));
    server.trouble("scroll", None, Answer::Body(body));
    let error = walk(&source, Reading::ALL).await.unwrap_err();
    assert!(matches!(error, VectorError::Disorder(_)), "{error}");
}

#[tokio::test]
async fn payloads_that_are_larger_than_usual_are_asked_for_in_smaller_pages() {
    let server = Qdrant::start();
    server.create(NAME, Config::cosine(SIZE));
    let text = "x".repeat(1 << 20);
    for number in 0..40 {
        server.put(NAME, id(number), crate::memory(&text, "alice"), Some(crate::unit(number, SIZE)));
    }
    let points = walk(&source(&server).await, Reading::ALL).await.unwrap();
    assert_eq!(points.len(), 40, "together they are more than one answer may have");
}
