//! The statements that make the tables of a PostgreSQL database anew, as a file of a set has them: what comes before the
//! rows, where the rows of each table are, and what comes after them. `psql` executes the file as it is.

use std::fmt::Write as _;

use super::layout::file_name;

/// What `psql` is told where the rows of a table come in, up to the file's name and behind it.
const COPY: &str = "\\copy ";
const FROM: &str = " from program 'zstd -dc ";
const END: &str = "'";

/// A sequence. Names are as they stand in a statement: qualified, and quoted where they must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// Its type, such as `bigint`.
    pub kind: String,
    /// Its first value.
    pub start: i64,
    /// What is added for the next one.
    pub increment: i64,
    /// Its smallest value.
    pub min: i64,
    /// Its largest value.
    pub max: i64,
    /// How many are given out at once.
    pub cache: i64,
    /// Whether it begins anew after the last.
    pub cycle: bool,
    /// The table and column that it goes with.
    pub owner: Option<(String, String)>,
    /// Whether it is that of an identity column, which makes it.
    pub identity: bool,
    /// Its last value, and whether that was given out.
    pub last: (i64, bool),
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name, quoted where it must be.
    pub name: String,
    /// Its type with length, precision and the like.
    pub kind: String,
    /// Its collation, where that is not the one of its type.
    pub collation: Option<String>,
    /// Whether it must have a value.
    pub not_null: bool,
    /// What it is without a value, or of a generated column always.
    pub default: Option<String>,
    /// `a` for an identity that is always given out, `d` for one that is by default; else empty.
    pub identity: String,
    /// `s` for a generated column that is stored, `v` for one that is not; else empty.
    pub generated: String,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// Its plain name.
    pub plain: String,
    /// Its name as it stands in a statement.
    pub name: String,
    /// Whether a crash of the server empties it.
    pub unlogged: bool,
    /// Its columns in their order.
    pub columns: Vec<Column>,
}

/// All that makes some tables of one database anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The version of the server.
    pub server: String,
    /// Schemas, quoted where they must be.
    pub schemas: Vec<String>,
    /// Extensions that types, indexes and defaults need, and their schemas.
    pub extensions: Vec<(String, String)>,
    /// Enumerations and their values in order, the values quoted.
    pub enums: Vec<(String, Vec<String>)>,
    /// Sequences.
    pub sequences: Vec<Sequence>,
    /// Tables.
    pub tables: Vec<Relation>,
    /// What comes after the rows, in this order: keys and checks, indexes, references.
    pub after: Vec<String>,
    /// What of the schema is not in it, for people.
    pub left_out: Vec<String>,
}

/// The rows of one table in a script that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The table with its columns, as it stands in `COPY ... FROM STDIN`.
    pub target: String,
    /// The file with them, beside the script.
    pub file: String,
}

/// A script that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// Statements before the rows.
    pub before: String,
    /// The rows.
    pub rows: Vec<Rows>,
    /// Statements after them.
    pub after: String,
}

impl Relation {
    /// The table with the columns that have rows of their own, as it stands in a COPY.
    pub fn target(&self) -> String {
        let stored = self.columns.iter().filter(|column| column.generated.is_empty());
        let columns: Vec<&str> = stored.map(|column| column.name.as_str()).collect();
        // One without columns has rows all the same.
        if columns.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, columns.join(", ")) }
    }

    /// The file of its rows, beside the script; none for a name that no file can have.
    pub fn file(&self) -> Option<String> {
        Some(format!("{}.copy.zst", file_name(&self.plain)?))
    }
}

impl Script {
    /// The text of `ddl.sql`. A table that no line of it could name makes it none: what is wrong, for people.
    pub fn to_sql(&self) -> Result<String, String> {
        let mut sql = format!(
            "-- The tables of a database of PostgreSQL {}. In this folder, into an empty database:\n\
             --   psql --no-psqlrc --single-transaction --set ON_ERROR_STOP=1 --file ddl.sql DATABASE\n\
             -- Not in it: owners, rights, comments, views, functions, triggers, rules and policies.\n",
            self.server
        );
        for left in &self.left_out {
            line(&mut sql, &format!("-- Left out: {}", left.replace(['\n', '\r'], " ")));
        }
        for schema in &self.schemas {
            line(&mut sql, &format!("CREATE SCHEMA IF NOT EXISTS {schema};"));
        }
        for (extension, schema) in &self.extensions {
            line(&mut sql, &format!("CREATE EXTENSION IF NOT EXISTS {extension} WITH SCHEMA {schema};"));
        }
        for (name, values) in &self.enums {
            line(&mut sql, &format!("CREATE TYPE {name} AS ENUM ({});", values.join(", ")));
        }
        for sequence in self.sequences.iter().filter(|sequence| !sequence.identity) {
            let Sequence { name, kind, .. } = sequence;
            line(&mut sql, &format!("CREATE SEQUENCE {name} AS {kind} {};", sequence.options()));
        }
        for table in &self.tables {
            let columns: Vec<_> = table.columns.iter().map(|column| self.column(table, column)).collect();
            let unlogged = if table.unlogged { "UNLOGGED " } else { "" };
            let body = if columns.is_empty() { String::new() } else { format!("\n  {}\n", columns.join(",\n  ")) };
            line(&mut sql, &format!("CREATE {unlogged}TABLE {} ({body});", table.name));
        }
        for table in &self.tables {
            let target = table.target();
            let file = table.file().filter(|_| !target.contains(['\n', '\r']) && !target.contains(FROM));
            let Some(file) = file else { return Err(format!("the table {} has a name that no file has", table.name)) };
            line(&mut sql, &format!("{COPY}{target}{FROM}{file}{END}"));
        }
        for statement in &self.after {
            line(&mut sql, &format!("{statement};"));
        }
        for sequence in &self.sequences {
            if let Some((table, column)) = sequence.owner.as_ref().filter(|_| !sequence.identity) {
                line(&mut sql, &format!("ALTER SEQUENCE {} OWNED BY {table}.{column};", sequence.name));
            }
            let (last, given) = sequence.last;
            let name = literal(&sequence.name);
            line(&mut sql, &format!("SELECT pg_catalog.setval({name}::pg_catalog.regclass, {last}, {given});"));
        }
        Ok(sql)
    }

    fn column(&self, table: &Relation, column: &Column) -> String {
        let mut text = format!("{} {}", column.name, column.kind);
        let mut add = |more: &str| text.push_str(more);
        if let Some(collation) = &column.collation {
            add(&format!(" COLLATE {collation}"));
        }
        let of = |sequence: &&Sequence| {
            sequence.identity && sequence.owner.as_ref().is_some_and(|(t, c)| (t, c) == (&table.name, &column.name))
        };
        if column.identity.is_empty() {
            match (column.default.as_ref(), column.generated.as_str()) {
                (Some(default), "") => add(&format!(" DEFAULT {default}")),
                (Some(always), "v") => add(&format!(" GENERATED ALWAYS AS ({always}) VIRTUAL")),
                (Some(always), _) => add(&format!(" GENERATED ALWAYS AS ({always}) STORED")),
                (None, _) => {}
            }
        } else {
            let when = if column.identity == "a" { "ALWAYS" } else { "BY DEFAULT" };
            let sequence = self.sequences.iter().find(of);
            let options = sequence.map(|s| format!(" (SEQUENCE NAME {} {})", s.name, s.options())).unwrap_or_default();
            add(&format!(" GENERATED {when} AS IDENTITY{options}"));
        }
        if column.not_null {
            add(" NOT NULL");
        }
        text
    }
}

impl Sequence {
    fn options(&self) -> String {
        let Self { start, increment, min, max, cache, cycle, .. } = self;
        let cycle = if *cycle { "CYCLE" } else { "NO CYCLE" };
        format!("START WITH {start} INCREMENT BY {increment} MINVALUE {min} MAXVALUE {max} CACHE {cache} {cycle}")
    }
}

impl Sections {
    /// Reads what [`Script::to_sql`] wrote; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut sections = Self::default();
        for line in text.split_inclusive('\n') {
            if let Some(copy) = line.strip_prefix(COPY) {
                let (target, file) = copy.strip_suffix('\n')?.strip_suffix(END)?.split_once(FROM)?;
                if !sections.after.is_empty() {
                    return None;
                }
                sections.rows.push(Rows { target: target.to_owned(), file: file.to_owned() });
            } else if sections.rows.is_empty() {
                sections.before.push_str(line);
            } else {
                sections.after.push_str(line);
            }
        }
        (!sections.rows.is_empty()).then_some(sections)
    }
}

fn line(sql: &mut String, statement: &str) {
    let _ = writeln!(sql, "{statement}");
}

/// A text as it stands in a statement.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        let column =
            |name: &str, kind: &str| Column { name: name.to_owned(), kind: kind.to_owned(), ..Column::default() };
        let sequence = Sequence {
            name: "public.notes_id_seq".to_owned(),
            kind: "integer".to_owned(),
            start: 1,
            increment: 1,
            min: 1,
            max: 9,
            cache: 1,
            owner: Some(("public.notes".to_owned(), "id".to_owned())),
            last: (7, true),
            ..Sequence::default()
        };
        let columns = vec![
            Column {
                not_null: true,
                default: Some("nextval('public.notes_id_seq'::regclass)".to_owned()),
                ..column("id", "integer")
            },
            column("\"Text\"", "text"),
            Column {
                default: Some("length(\"Text\")".to_owned()),
                generated: "s".to_owned(),
                ..column("size", "integer")
            },
        ];
        let table =
            Relation { plain: "notes".to_owned(), name: "public.notes".to_owned(), columns, ..Relation::default() };
        Script {
            server: "16.4".to_owned(),
            schemas: vec!["public".to_owned()],
            sequences: vec![sequence],
            tables: vec![table],
            after: vec!["ALTER TABLE ONLY public.notes ADD CONSTRAINT notes_pkey PRIMARY KEY (id)".to_owned()],
            left_out: vec!["view a\nb".to_owned()],
            ..Script::default()
        }
    }

    #[test]
    fn a_script_says_where_the_rows_come_in_and_is_read_again() {
        let sql = script().to_sql().unwrap();
        let sections = Sections::parse(&sql).unwrap();
        let target = "public.notes (id, \"Text\")".to_owned();
        assert_eq!(sections.rows, [Rows { target, file: "notes.copy.zst".to_owned() }]);
        for part in ["-- Left out: view a b\n", "CREATE SEQUENCE public.notes_id_seq AS integer START WITH 1", "STORED"]
        {
            assert!(sections.before.contains(part), "{part}: {}", sections.before);
        }
        for part in [
            "PRIMARY KEY (id);\n",
            "OWNED BY public.notes.id;",
            "setval('public.notes_id_seq'::pg_catalog.regclass, 7, true);",
        ] {
            assert!(sections.after.contains(part), "{part}: {}", sections.after);
        }
        assert_eq!(Sections::parse(&sections.before), None);
        assert_eq!(Sections::parse(&format!("{sql}\\copy x from stdin\n")), None);
    }

    #[test]
    fn an_identity_names_its_sequence_and_a_name_of_several_lines_is_refused() {
        let mut script = script();
        script.sequences[0].identity = true;
        script.tables[0].columns[0].identity = "a".to_owned();
        let sql = script.to_sql().unwrap();
        assert!(
            sql.contains("id integer GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.notes_id_seq START"),
            "{sql}"
        );
        assert!(!sql.contains("CREATE SEQUENCE") && !sql.contains("OWNED BY") && sql.contains("setval"), "{sql}");
        script.tables[0].columns[1].name = "\"a\nb\"".to_owned();
        assert!(script.to_sql().is_err());
    }
}
