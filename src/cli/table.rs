use std::fmt::Write as _;

/// Rows under headers, aligned as kubectl aligns them: three blanks between columns.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headers: &[&str]) -> Self {
        Self { rows: vec![headers.iter().map(|&header| header.to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, a line per row. Line breaks in a cell become blanks, so that a row stays a row.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = cell.replace(['\n', '\r', '\t'], " ");
                let _ = write!(line, "{cell:<width$}   "); // Writing to a String cannot fail.
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_cell_stays_on_its_line() {
        let mut table = Table::new(&["NAME", "READY"]);
        table.row(vec!["a-long-name".to_owned(), "True".to_owned()]);
        table.row(vec!["ä".to_owned(), "Un\nknown".to_owned()]);
        assert_eq!(table.render(), "NAME          READY\na-long-name   True\nä             Un known\n");
    }
}
