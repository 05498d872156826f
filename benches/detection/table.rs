//! Tables as Markdown has them.

/// A table that is being filled.
pub(crate) struct Table(String);

impl Table {
    /// With a title above and a head for each column but the first.
    pub(crate) fn new(title: &str, heads: &[String]) -> Self {
        let line = "| --- ".repeat(heads.len() + 1);
        Self(format!("{title}\n\n| | {} |\n{line}|\n", heads.join(" | ")))
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.0 += &format!("| {name} | {} |\n", cells.join(" | "));
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("{}", self.0);
    }
}

/// Median and 95th percentile of those that were found, of so many that were tried.
pub(crate) fn spread(mut taken: Vec<usize>, tried: usize) -> String {
    taken.sort_unstable();
    let share = taken.len() as f64 * 100.0 / tried as f64;
    match taken.len() {
        0 => "no".to_owned(),
        found if found * 2 <= tried => format!("({share:.0} %)"),
        found => {
            let late = taken.get(tried * 95 / 100).map_or("-".to_owned(), usize::to_string);
            let all = if found < tried { format!(" ({share:.0} %)") } else { String::new() };
            format!("{} / {late}{all}", taken[tried / 2])
        }
    }
}
