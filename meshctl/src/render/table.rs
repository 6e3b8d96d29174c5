//! Aligned columns. In: a header and rows of cells. Out: lines, each column as wide as its widest cell plus a gap;
//! no blanks after the last cell.

/// Blanks between columns: istioctl uses 5, kubectl 3.
#[derive(Clone, Debug)]
pub struct Table {
    gap: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table in istioctl's manner.
    pub fn wide(header: &[&str]) -> Self {
        Self::with_gap(5, header)
    }

    /// A table in kubectl's manner.
    pub fn narrow(header: &[&str]) -> Self {
        Self::with_gap(3, header)
    }

    /// A table without air, as istioctl prints tags.
    pub fn tight(header: &[&str]) -> Self {
        Self::with_gap(1, header)
    }

    fn with_gap(gap: usize, header: &[&str]) -> Self {
        Self { gap, header: header.iter().map(|cell| (*cell).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sorts the rows by their cells, from the left.
    pub fn sort(&mut self) {
        self.rows.sort();
    }

    /// The rows, for output that is no table.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<&Vec<String>> =
            (!self.header.is_empty()).then_some(&self.header).into_iter().chain(&self.rows).collect();
        let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                text.push_str(cell);
                let blanks = widths[column] - cell.chars().count() + self.gap;
                text.extend(std::iter::repeat_n(' ', blanks));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::narrow(&["NAME", "READY"]);
        table.row(["b", "1/1"]);
        table.row(["a-long-name", ""]);
        table.sort();
        assert_eq!(table.to_string(), "NAME          READY\na-long-name\nb             1/1\n");
    }
}
