//! What the catalogue says of tables, as statements that make them anew. Names come quoted from the server itself.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Dump, SILENCE, Table, Wanted};
use crate::bank::net::postgres::heard;
use crate::engine::backup::{Column, Relation, Script, Sequence};

/// A set has one file for each of them.
const MAX_TABLES: usize = 500;
/// So much of what is left out is named.
const MAX_LEFT: usize = 100;

/// Whatever holds rows, or shows them; not what an extension made, which brings it itself.
const TABLES: &str = "SELECT c.oid::int8, c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
      n.nspname::text, pg_catalog.quote_ident(n.nspname), c.relkind::text, c.relpersistence = 'u', \
      EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)), \
      CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_table_size(c.oid)::int8 ELSE 0 END \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        AND d.objid = c.oid AND d.deptype = 'e') AND ";
const COLUMNS: &str = "SELECT a.attrelid::int8, pg_catalog.quote_ident(a.attname), \
      pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text, \
      pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
      CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN (SELECT pg_catalog.format('%I.%I', n.nspname, \
        l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace \
        WHERE l.oid = a.attcollation) END, \
      e.oid::int8, e.typtype::text, en.nspname = 'pg_catalog' OR EXISTS (SELECT FROM pg_catalog.pg_depend x \
        WHERE x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND x.objid = e.oid AND x.deptype = 'e') \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END \
    JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE a.attrelid::int8 = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";
const ENUMS: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, t.typname), pg_catalog.quote_ident(n.nspname), \
      pg_catalog.array_agg(pg_catalog.quote_literal(e.enumlabel) ORDER BY e.enumsortorder) \
    FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid::int8 = ANY($1) GROUP BY 1, 2 ORDER BY 1";
/// Those that go with a column, and of a whole schema the others.
const SEQUENCES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), \
      pg_catalog.format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, \
      d.deptype::text, CASE WHEN tc.oid IS NOT NULL THEN pg_catalog.format('%I.%I', tn.nspname, tc.relname) END, \
      pg_catalog.quote_ident(a.attname) \
    FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
    LEFT JOIN pg_catalog.pg_class tc ON tc.oid = d.refobjid \
    LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = tc.relnamespace \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
    WHERE c.relpersistence <> 't' AND (d.refobjid::int8 = ANY($1) OR (d.refobjid IS NULL AND n.nspname = $2)) ORDER BY 1";
/// Keys first, references last: they need the keys and the rows of others.
const CONSTRAINTS: &str = "SELECT pg_catalog.format('ALTER TABLE ONLY %I.%I ADD CONSTRAINT %I %s', n.nspname, t.relname, \
      c.conname, pg_catalog.pg_get_constraintdef(c.oid)), c.contype = 'f', \
      c.contype = 'f' AND NOT c.confrelid::int8 = ANY($1) \
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class t ON t.oid = c.conrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    WHERE c.conrelid::int8 = ANY($1) AND c.contype IN ('p', 'u', 'x', 'c', 'f') \
    ORDER BY c.contype = 'f', c.contype <> 'p', c.contype <> 'u', 1";
const INDEXES: &str = "SELECT pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, \
      pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i \
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE i.indrelid::int8 = ANY($1) AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k \
      WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY 3";
/// The extensions that types of columns, classes of indexes and functions of expressions are from.
const EXTENSIONS: &str = "SELECT DISTINCT pg_catalog.quote_ident(e.extname), pg_catalog.quote_ident(n.nspname) \
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace \
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid \
      AND d.deptype = 'e' \
    WHERE (d.classid, d.objid) IN ( \
      SELECT 'pg_catalog.pg_type'::pg_catalog.regclass::oid, CASE WHEN t.typelem <> 0 THEN t.typelem ELSE t.oid END \
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
        WHERE a.attrelid::int8 = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped \
      UNION SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass::oid, pg_catalog.unnest(i.indclass::oid[]) \
        FROM pg_catalog.pg_index i WHERE i.indrelid::int8 = ANY($1) \
      UNION SELECT f.refclassid, f.refobjid FROM pg_catalog.pg_depend f WHERE ";
/// Functions of the bank's own, without which a default, a check or an index cannot be made.
const FUNCTIONS: &str = "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_depend f \
    JOIN pg_catalog.pg_proc p ON f.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = f.refobjid \
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    WHERE n.nspname <> 'pg_catalog' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x \
      WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND x.objid = p.oid AND x.deptype = 'e') AND ";
/// What the expressions of some tables depend on.
const EXPRESSIONS: &str = "(f.classid, f.objid) IN ( \
      SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid, d.oid FROM pg_catalog.pg_attrdef d \
        WHERE d.adrelid::int8 = ANY($1) \
      UNION SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid, c.oid FROM pg_catalog.pg_constraint c \
        WHERE c.conrelid::int8 = ANY($1) \
      UNION SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, i.indexrelid FROM pg_catalog.pg_index i \
        WHERE i.indrelid::int8 = ANY($1))";
const TRIGGERS: &str = "SELECT pg_catalog.format('trigger %I of %I', t.tgname, c.relname) FROM pg_catalog.pg_trigger t \
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE t.tgrelid::int8 = ANY($1) AND NOT t.tgisinternal ORDER BY 1";

impl Dump {
    /// Begins the moment and names the tables that are wanted.
    pub(super) async fn begin(&mut self, wanted: &Wanted<'_>) -> Result<(), String> {
        // The first question is the moment.
        self.place.1 = self.value("SELECT pg_catalog.current_database()::text").await?;
        self.script.server = self.value("SELECT pg_catalog.current_setting('server_version')").await?;
        let rows = match wanted {
            Wanted::Schema(schema) => {
                self.schema = Some((*schema).to_owned());
                let sql = AssertSqlSafe(format!("{TABLES} n.nspname = $1 ORDER BY 3"));
                heard(SILENCE, sqlx::query(sql).bind(*schema).fetch_all(&mut self.connection)).await
            }
            Wanted::Named(names) => {
                let visible = "c.relname = ANY($1) AND pg_catalog.pg_table_is_visible(c.oid)";
                let sql = AssertSqlSafe(format!("{TABLES} {visible} ORDER BY 3"));
                heard(SILENCE, sqlx::query(sql).bind(names.to_vec()).fetch_all(&mut self.connection)).await
            }
        };
        let rows = rows.map_err(|error| self.told(&error))?;
        for row in rows {
            self.table(&row).map_err(|error| self.told(&error))?;
        }
        if self.tables.is_empty() && self.beyond.is_empty() {
            return Err(format!("the database at {} has none of the bank's tables", self.place.0));
        }
        if self.tables.len() > MAX_TABLES {
            return Err(format!("the schema has {} tables, and a set at most {MAX_TABLES}", self.tables.len()));
        }
        Ok(())
    }

    fn table(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let (name, kind): (String, String) = (row.try_get(2)?, row.try_get(5)?);
        let inherits: bool = row.try_get(7)?;
        let beyond = match kind.as_str() {
            "p" => "is partitioned",
            "f" => "lies on another server",
            "v" | "m" => {
                self.script.left_out.push(format!("view {name}"));
                return Ok(());
            }
            _ if inherits => "inherits, or is inherited from",
            _ => {
                let schema: String = row.try_get(4)?;
                if !self.script.schemas.contains(&schema) {
                    self.script.schemas.push(schema);
                }
                let unlogged = row.try_get(6)?;
                let relation = Relation { plain: row.try_get(1)?, name, unlogged, columns: Vec::new() };
                let bytes = row.try_get::<i64, _>(8)?.unsigned_abs();
                self.tables.push(Table { oid: row.try_get(0)?, bytes, relation });
                return Ok(());
            }
        };
        self.beyond.push(format!("the table {name} {beyond}, which this version does not back up"));
        Ok(())
    }

    /// Locks the tables against those who would alter them, and reads what they are made of.
    pub(super) async fn describe(&mut self) -> Result<(), String> {
        for table in self.tables.clone() {
            self.run(&format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", table.relation.name)).await?;
        }
        // From here on the server tells names in full.
        self.run("SET LOCAL search_path = ''").await?;
        let mut types = Vec::new();
        for row in self.ask(COLUMNS).await? {
            self.column(&row, &mut types).map_err(|error| self.told(&error))?;
        }
        let sql = sqlx::query(ENUMS).bind(types).fetch_all(&mut self.connection);
        let enums = heard(SILENCE, sql).await.map_err(|error| self.told(&error))?;
        let (sequences, constraints, indexes) =
            (self.sequences().await?, self.ask(CONSTRAINTS).await?, self.ask(INDEXES).await?);
        let extensions = self.ask(&format!("{EXTENSIONS} {EXPRESSIONS})")).await?;
        let functions = self.ask(&format!("{FUNCTIONS} {EXPRESSIONS}")).await?;
        let triggers = self.ask(TRIGGERS).await?;
        self.script.sequences = sequences;
        let fill = || -> Result<(), sqlx::Error> {
            let script = &mut self.script;
            for row in enums {
                script.enums.push((row.try_get(0)?, row.try_get(2)?));
                schema(script, row.try_get(1)?);
            }
            for row in extensions {
                let place: String = row.try_get(1)?;
                schema(script, place.clone());
                script.extensions.push((row.try_get(0)?, place));
            }
            for row in functions {
                let function: String = row.try_get(0)?;
                self.beyond
                    .push(format!("a column, check or index needs the function {function}, which is not in a set"));
            }
            let mut references = Vec::new();
            for row in constraints {
                let (statement, reference, out): (String, bool, bool) =
                    (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                match (reference, out) {
                    (_, true) => {
                        let what = "a reference to a table that is not in the set";
                        script.left_out.push(format!("{what}: {statement}"));
                    }
                    (true, false) => references.push(statement),
                    (false, false) => script.after.push(statement),
                }
            }
            for row in indexes {
                let (statement, valid, name): (String, bool, String) =
                    (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                if valid {
                    script.after.push(statement);
                } else {
                    script.left_out.push(format!("index {name}, which is not valid"));
                }
            }
            script.after.extend(references);
            for row in triggers {
                script.left_out.push(row.try_get(0)?);
            }
            script.left_out.truncate(MAX_LEFT);
            Ok(())
        };
        fill().map_err(|error| self.told(&error))?;
        self.script.tables = self.tables.iter().map(|table| table.relation.clone()).collect();
        Ok(())
    }

    fn oids(&self) -> Vec<i64> {
        self.tables.iter().map(|table| table.oid).collect()
    }

    /// The rows of a question about the tables.
    async fn ask(&mut self, question: &str) -> Result<Vec<PgRow>, String> {
        let query = sqlx::query(AssertSqlSafe(question.to_owned())).bind(self.oids());
        heard(SILENCE, query.fetch_all(&mut self.connection)).await.map_err(|error| self.told(&error))
    }

    fn column(&mut self, row: &PgRow, types: &mut Vec<i64>) -> Result<(), sqlx::Error> {
        let (oid, kind): (i64, String) = (row.try_get(0)?, row.try_get(9)?);
        let known: bool = row.try_get(10)?;
        let column = Column {
            name: row.try_get(1)?,
            kind: row.try_get(2)?,
            not_null: row.try_get(3)?,
            identity: row.try_get(4)?,
            generated: row.try_get(5)?,
            default: row.try_get(6)?,
            collation: row.try_get(7)?,
        };
        let Some(table) = self.tables.iter_mut().find(|table| table.oid == oid) else { return Ok(()) };
        if kind == "e" {
            types.push(row.try_get(8)?);
        } else if !known {
            let Column { name, kind, .. } = &column;
            let why = format!("the column {name} of {} has a type that is not in a set: {kind}", table.relation.name);
            self.beyond.push(why);
        }
        table.relation.columns.push(column);
        Ok(())
    }

    async fn sequences(&mut self) -> Result<Vec<Sequence>, String> {
        let query = sqlx::query(SEQUENCES).bind(self.oids()).bind(self.schema.clone());
        let rows = heard(SILENCE, query.fetch_all(&mut self.connection)).await;
        let rows = rows.map_err(|error| self.told(&error))?;
        let read = |row: &PgRow| -> Result<Sequence, sqlx::Error> {
            let (deptype, table, column): (Option<String>, Option<String>, Option<String>) =
                (row.try_get(8)?, row.try_get(9)?, row.try_get(10)?);
            Ok(Sequence {
                name: row.try_get(0)?,
                kind: row.try_get(1)?,
                start: row.try_get(2)?,
                increment: row.try_get(3)?,
                min: row.try_get(4)?,
                max: row.try_get(5)?,
                cache: row.try_get(6)?,
                cycle: row.try_get(7)?,
                identity: deptype.as_deref() == Some("i"),
                owner: table.zip(column).filter(|_| deptype.is_some()),
                last: (0, false),
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| self.told(&error))
    }

    /// The script, with the last values of sequences as they are once the rows were read: no row has a later one.
    pub(super) async fn script(&mut self) -> Result<String, String> {
        let mut script = self.script.clone();
        for sequence in &mut script.sequences {
            let sql = AssertSqlSafe(format!("SELECT last_value, is_called FROM {}", sequence.name));
            let row = heard(SILENCE, sqlx::query(sql).fetch_one(&mut self.connection)).await;
            let read = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            sequence.last = read.map_err(|error| self.told(&error))?;
        }
        script.to_sql()
    }
}

/// Notes a schema that is needed, once.
fn schema(script: &mut Script, name: String) {
    if name != "pg_catalog" && !script.schemas.contains(&name) {
        script.schemas.push(name);
    }
}
