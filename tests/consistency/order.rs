use memorybank::bank::consistency::Points;
use memorybank::domain::{Point, PointId, Verdict};
use memorybank::engine::consistency::baseline::Share;

use crate::bed::Bed;

/// A page, of all points and the place of the first that is asked for.
type Page = fn(&[Point], usize) -> Result<Vec<Point>, String>;

/// A source that fails in its own way on the second page.
struct Wrong {
    points: Vec<Point>,
    pages: usize,
    page: Page,
}

impl Points for Wrong {
    async fn page(&mut self, from: PointId, _: usize) -> Result<Vec<Point>, String> {
        let first = self.points.partition_point(|point| point.id < from);
        self.pages += 1;
        if self.pages == 2 {
            (self.page)(&self.points, first)
        } else {
            Ok(self.points[first..].iter().take(20).cloned().collect())
        }
    }

    fn renew(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_or_does_not_ascend_proves_nothing() {
    let bed = Bed::new(100).await;
    let cases: [(Page, &str); 4] = [
        (|_, _| Err("no answer within 30 s".to_owned()), "no answer"),
        (|points, first| Ok(points[first..first + 9].iter().rev().cloned().collect()), "out of order"),
        (|points, first| Ok(vec![points[first].clone(), points[first].clone()]), "out of order or twice"),
        (|points, first| Ok(points[first - 1..].to_vec()), "comes before"),
    ];
    for (page, why) in cases {
        let points = Wrong { points: bed.points.points.clone(), pages: 0, page };
        let compared = bed.compare_with(points, Share::All).await;
        assert!(compared.checks.iter().all(|check| check.verdict == Verdict::Unknown), "{why}: {:#?}", compared.checks);
        assert!(compared.checks[0].detail.contains(why), "{:#?}", compared.checks[0]);
        assert_eq!((compared.corruption.as_slice(), compared.outputs.as_slice()), (&[][..], &[][..]), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_pages_are_no_end() {
    let bed = Bed::new(100).await;
    let page = |points: &[Point], first: usize| Ok(points[first..].iter().take(1).cloned().collect());
    let points = Wrong { points: bed.points.points.clone(), pages: 0, page };
    crate::bed::assert_sound(&bed.compare_with(points, Share::All).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_disagrees_with_its_table_accuses_nobody() {
    let bed = Bed::new(100).await;
    bed.bank
        .change(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema \
             WHERE name = 'sqlite_autoindex_users_1') WHERE name = 'sqlite_autoindex_memories_1'",
        )
        .await;
    let compared = bed.compare(Share::All).await;
    assert_eq!((compared.corruption.as_slice(), compared.outputs.as_slice()), (&[][..], &[][..]));
    assert!(compared.checks.iter().all(|check| check.verdict == Verdict::Unknown), "{:#?}", compared.checks);
    assert!(compared.checks[0].detail.contains("index of memories.id"), "{:?}", compared.checks[0]);
}
