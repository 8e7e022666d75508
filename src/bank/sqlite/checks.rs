//! All checks of one database, on its private copy.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::query::{Reader, SqliteError, Stop, Trouble};
use super::rows::{self, Judged};
use super::schema::Schema;
use super::structure;
use crate::bank::Meter;
use crate::domain::{Check, CorruptionEvent, Level, RunReport, Sample};
use crate::engine::integrity::sqlite::cell::Judge;
use crate::engine::integrity::sqlite::schema::SchemaKind;
use crate::engine::integrity::sqlite::structure::{FTS, FULL, Lines, QUICK};

/// The checks that read every row; `sqlite-duplicates` is for OpenMemory's own database alone.
const ROWS: [&str; 6] =
    ["sqlite-text", "sqlite-json", "sqlite-dates", "sqlite-uuids", "sqlite-states", "sqlite-duplicates"];
const KEYS: &str = "sqlite-foreign-keys";
const SCHEMA: &str = "sqlite-schema";

/// What the checks of a database found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqliteReport {
    /// One row per check of the level.
    pub checks: Vec<Check>,
    /// Damage, at most [`RunReport::MAX_EVENTS`] events.
    pub corruption: Vec<CorruptionEvent>,
    /// `memories` (those not deleted) and `database_size_bytes`, where they could be measured.
    pub samples: Vec<Sample>,
    /// Events left out because there were too many.
    pub omitted: u64,
}

/// Checks a private copy, which SQLite may recover and write to.
///
/// What is damaged, or no database at all, is a verdict and no error.
///
/// # Errors
/// There is no copy, or the meter is cancelled.
pub async fn check(
    copy: &Path,
    component: &str,
    kind: SchemaKind,
    level: Level,
    meter: &Meter,
) -> Result<SqliteReport, SqliteError> {
    let size = size(copy)?;
    meter.grow(size);
    let report = meter.unless_cancelled(run(copy, size, component, kind, level)).await?;
    meter.advance(size);
    Ok(report)
}

/// The size of a copy in bytes.
pub(super) fn size(copy: &Path) -> Result<u64, SqliteError> {
    let metadata = fs::metadata(copy);
    Ok(metadata.map_err(|source| SqliteError::Copy { path: copy.display().to_string(), source })?.len())
}

async fn run(copy: &Path, size: u64, component: &str, kind: SchemaKind, level: Level) -> SqliteReport {
    let stop = Stop::default();
    let mut found = Found::default();
    let mut lines = Lines::new(Vec::new());
    match open(copy, size, kind, &stop).await {
        Ok((first, second, schema)) => {
            lines = Lines::new(schema.trees.clone());
            found.events.extend(kind.missing(component, &schema.known));
            found.events.extend(schema.damage(component));
            found.generation = Some(kind.generation(&schema.known));
            found.full_text = schema.full_text.len();
            examine(first, second, &Scope { component, kind, level, schema }, &mut found, &mut lines).await;
        }
        Err(Trouble::Damaged(words)) => {
            lines.broke_off("file", &words);
            found.unread = Some(format!("the file cannot be read as a database: {words}"));
        }
        Err(Trouble::Unreadable(words)) => {
            found.unread = Some(words.clone());
            found.pragma = Some(words);
        }
    }
    found.events.extend(lines.events(component));
    found.report(component, kind, level, size)
}

/// Opens the copy twice, for two cores. The first opening does the recovery, alone.
async fn open(copy: &Path, size: u64, kind: SchemaKind, stop: &Stop) -> Result<(Reader, Reader, Schema), Trouble> {
    let mut first = Reader::open(copy, size, stop).await?;
    let second = Reader::open(copy, size, stop).await?;
    let schema = Schema::read(&mut first, kind).await?;
    Ok((first, second, schema))
}

struct Scope<'a> {
    component: &'a str,
    kind: SchemaKind,
    level: Level,
    schema: Schema,
}

/// Structure on one connection, all that reads rows on the other, at the same time.
async fn examine(mut first: Reader, mut second: Reader, scope: &Scope<'_>, found: &mut Found, lines: &mut Lines) {
    let schema = &scope.schema;
    let (pragma, (judged, orphans, full_text)) =
        tokio::join!(structure::pragma(&mut first, scope.level, lines), async {
            let judged = match scope.level {
                Level::Quick => live(&mut second, schema).await,
                Level::Checksum | Level::Full => all_rows(&mut second, scope).await,
            };
            let orphans = structure::orphans(&mut second, scope.component, scope.kind, schema).await;
            let full_text = structure::full_text(&mut second, schema).await;
            (judged, orphans, full_text)
        });
    // The connections end one after the other: the last one writes a WAL back.
    second.close().await;
    first.close().await;
    found.pragma = pragma.err().map(|trouble| trouble.words().to_owned());
    for (table, trouble) in &judged.unread {
        // Normally the pragma has told this already, by page.
        if matches!(trouble, Trouble::Damaged(_)) && lines.is_empty() {
            lines.broke_off(table, trouble.words());
        }
    }
    found.keys = orphans.as_ref().err().map(|trouble| trouble.words().to_owned());
    found.events.extend(orphans.unwrap_or_default());
    found.fts = full_text.as_ref().err().map(|trouble| trouble.words().to_owned());
    full_text.unwrap_or_default().iter().for_each(|(table, words)| lines.full_text(table, words));
    found.take(judged);
}

async fn all_rows(reader: &mut Reader, scope: &Scope<'_>) -> Judged {
    match reader.encoding().await {
        Ok(encoding) => {
            let judge = Judge { encoding, now: Timestamp::now() };
            rows::judge(reader, scope.component, scope.kind, &scope.schema, judge).await
        }
        Err(trouble) => Judged { unread: vec![("file", trouble)], ..Judged::default() },
    }
}

/// At level Quick rows are only counted.
async fn live(reader: &mut Reader, schema: &Schema) -> Judged {
    if !schema.has("memories", &["state"]) {
        return Judged::default();
    }
    let count = "SELECT count(state) FROM memories NOT INDEXED WHERE state IN ('active', 'paused', 'archived')";
    match reader.number(count).await {
        Ok(live) => Judged { live: u64::try_from(live).ok(), ..Judged::default() },
        Err(trouble) => Judged { unread: vec![("memories", trouble)], ..Judged::default() },
    }
}

/// What was found, and what kept each check from looking.
#[derive(Default)]
struct Found {
    events: Vec<CorruptionEvent>,
    generation: Option<&'static str>,
    full_text: usize,
    rows: u64,
    memories: Option<u64>,
    /// Why rows, schema and all that follows from them could not be read.
    unread: Option<String>,
    pragma: Option<String>,
    keys: Option<String>,
    fts: Option<String>,
}

impl Found {
    fn take(&mut self, judged: Judged) {
        self.events.extend(judged.events);
        self.rows = judged.rows;
        if judged.unread.is_empty() {
            self.memories = judged.live;
        } else {
            let tables: Vec<_> =
                judged.unread.iter().map(|(table, trouble)| format!("{table} ({})", trouble.words())).collect();
            self.unread = Some(format!("not read to the end: {}", tables.join(", ")));
        }
    }

    fn report(self, component: &str, kind: SchemaKind, level: Level, size: u64) -> SqliteReport {
        // Nothing is known of what could not be opened.
        let closed = if self.generation.is_none() { self.unread.clone() } else { None };
        let mut checks = Vec::new();
        let mut add = |id: &str, trouble: Option<&String>, passed: String| {
            let events = self.events.iter().filter(|event| event.check == id).count();
            checks.push(match trouble {
                // What was seen is told, but what was not seen may be there still: Failed would say that
                // all was looked at.
                Some(trouble) => Check::unknown(id, component, trouble.clone()),
                None if events > 0 => Check::failed(id, component, format!("{events} kinds of damage")),
                None => Check::passed(id, component, passed),
            });
        };
        let broken = self.pragma.as_ref();
        add(
            QUICK,
            broken,
            if level == Level::Quick { "structure is sound" } else { "covered by integrity_check" }.to_owned(),
        );
        if level != Level::Quick {
            add(FULL, broken.or(closed.as_ref()), "every index agrees with its table".to_owned());
        }
        add(KEYS, self.keys.as_ref().or(closed.as_ref()), "every reference leads to a row".to_owned());
        add(SCHEMA, closed.as_ref(), self.generation.unwrap_or_default().to_owned());
        if self.full_text > 0 {
            add(FTS, self.fts.as_ref(), format!("{} full-text tables agree with their content", self.full_text));
        }
        if level != Level::Quick {
            for id in ROWS.iter().filter(|id| kind == SchemaKind::OpenMemory || **id != "sqlite-duplicates") {
                add(id, self.unread.as_ref(), format!("{} rows read", self.rows));
            }
        }
        let mut samples = Vec::new();
        #[allow(clippy::cast_precision_loss)] // A gauge; exact up to 2^53.
        let mut sample =
            |metric: &str, value: u64| samples.push(Sample { metric: metric.to_owned(), value: value as f64 });
        if kind == SchemaKind::OpenMemory {
            sample("database_size_bytes", size);
            self.memories.into_iter().for_each(|memories| sample("memories", memories));
        }
        let mut corruption = self.events;
        let omitted = corruption.len().saturating_sub(RunReport::MAX_EVENTS) as u64;
        corruption.truncate(RunReport::MAX_EVENTS);
        SqliteReport { checks, corruption, samples, omitted }
    }
}
