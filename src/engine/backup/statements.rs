//! The statements of a script that make one of its tables alone.

use super::Sections;

/// What makes one table of a script, without the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneTable {
    /// Its name as it stands in a statement, with its schema.
    pub name: String,
    /// What makes the extensions that the script needs.
    pub extensions: Vec<String>,
    /// What makes it.
    pub make: String,
    /// Its columns as they stand there, in parentheses.
    pub columns: String,
    /// Its keys, checks, indexes and references, for when the rows are there.
    pub after: Vec<String>,
}

impl Sections {
    /// What makes the table whose rows are in this file, where its columns with rows are these and no others. Schemas,
    /// types and sequences are left out: a table that needs such cannot be made by it.
    pub fn only(&self, file: &str, columns: &str) -> Option<OneTable> {
        let rows = self.rows.iter().find(|rows| rows.file == file)?;
        let name = rows.target.strip_suffix(&format!(" ({columns})"))?.to_owned();
        let before = split(&self.before);
        let makes = |statement: &&String| {
            ["CREATE TABLE ", "CREATE UNLOGGED TABLE "].into_iter().any(|create| {
                let named = statement.strip_prefix(create).and_then(|rest| rest.strip_prefix(&name));
                named.is_some_and(|rest| rest.starts_with(" ("))
            })
        };
        let make = before.iter().find(makes)?.clone();
        let columns = make.split_once(&name)?.1.trim_start().to_owned();
        let extensions = before.into_iter().filter(|statement| statement.starts_with("CREATE EXTENSION ")).collect();
        let constraint = format!("ALTER TABLE ONLY {name} ADD CONSTRAINT ");
        let mut after = split(&self.after);
        after.retain(|statement| statement.starts_with(&constraint) || is_index_of(statement, &name));
        Some(OneTable { name, extensions, make, columns, after })
    }
}

/// Whether a statement makes an index of a table.
fn is_index_of(statement: &str, table: &str) -> bool {
    let mut create = ["CREATE INDEX ", "CREATE UNIQUE INDEX "].into_iter();
    let Some(rest) = create.find_map(|create| statement.strip_prefix(create)) else { return false };
    let behind = match rest.strip_prefix('"') {
        // A quote within the name is written twice.
        Some(quoted) => {
            let mut at = 0;
            while let Some(end) = quoted[at..].find('"') {
                at += end + 1;
                if !quoted[at..].starts_with('"') {
                    break;
                }
                at += 1;
            }
            &quoted[at..]
        }
        None => rest.find(' ').map_or("", |end| &rest[end..]),
    };
    let on = behind.strip_prefix(" ON ").and_then(|behind| behind.strip_prefix(table));
    on.is_some_and(|behind| behind.starts_with(" USING "))
}

/// The statements of a text as this program writes it, without the comments between them. What ends one stands in no name
/// and in no text; the server itself writes no other quotes into it.
fn split(text: &str) -> Vec<String> {
    let (mut statements, mut statement, mut quote) = (Vec::new(), String::new(), None);
    for line in text.split_inclusive('\n') {
        if quote.is_none() && statement.trim().is_empty() && line.starts_with("--") {
            continue;
        }
        for letter in line.chars() {
            match (letter, quote) {
                ('\'' | '"', None) => quote = Some(letter),
                (_, Some(open)) if open == letter => quote = None,
                (';', None) => {
                    statements.push(std::mem::take(&mut statement).trim().to_owned());
                    continue;
                }
                _ => {}
            }
            statement.push(letter);
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Relation, Script};
    use super::*;

    fn table(plain: &str, name: &str) -> Relation {
        let column =
            |name: &str, kind: &str| Column { name: name.to_owned(), kind: kind.to_owned(), ..Column::default() };
        let payload = Column { default: Some("';\n--'::text".to_owned()), ..column("payload", "jsonb") };
        let columns = vec![column("id", "uuid"), column("vector", "public.vector(8)"), payload];
        Relation { plain: plain.to_owned(), name: name.to_owned(), columns, ..Relation::default() }
    }

    #[test]
    fn one_table_is_made_without_the_others() {
        let after = [
            "ALTER TABLE ONLY public.points ADD CONSTRAINT points_pkey PRIMARY KEY (id)",
            "ALTER TABLE ONLY public.points_entities ADD CONSTRAINT points_entities_pkey PRIMARY KEY (id)",
            "CREATE INDEX points_hnsw_idx ON public.points USING hnsw (vector public.vector_cosine_ops)",
            "CREATE UNIQUE INDEX \"a \"\" ON public.points_entities USING b\" ON public.points USING btree (((payload ->> 'a;''\"'::text)))",
            "CREATE INDEX \"x ON public.points USING hnsw\" ON public.points_entities USING btree (id)",
            "CREATE INDEX entities ON public.points_entities USING hnsw (vector public.vector_cosine_ops)",
        ];
        let script = Script {
            schemas: vec!["public".to_owned()],
            extensions: vec![("vector".to_owned(), "public".to_owned())],
            tables: vec![table("points", "public.points"), table("points_entities", "public.points_entities")],
            after: after.map(str::to_owned).to_vec(),
            left_out: vec!["somebody's trigger".to_owned()],
            ..Script::default()
        };
        let sections = Sections::parse(&script.to_sql().unwrap()).unwrap();
        let only = sections.only("points.copy.zst", "id, vector, payload").unwrap();
        assert_eq!(only.name, "public.points");
        assert_eq!(only.extensions, ["CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public"]);
        assert_eq!(
            only.make,
            "CREATE TABLE public.points (\n  id uuid,\n  vector public.vector(8),\n  payload jsonb DEFAULT ';\n--'::text\n)"
        );
        assert_eq!(only.make, format!("CREATE TABLE public.points {}", only.columns));
        assert_eq!(only.after, [after[0], after[2], after[3]]);
        let entities = sections.only("points_entities.copy.zst", "id, vector, payload").unwrap();
        assert_eq!(entities.after, [after[1], after[4], after[5]]);
        assert_eq!(sections.only("points.copy.zst", "id, vector"), None);
        assert_eq!(sections.only("others.copy.zst", "id, vector, payload"), None);
    }
}
