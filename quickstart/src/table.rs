//! How figures are shown: no line is wider than 80 columns.

/// The columns of a value.
pub(crate) const VALUE: usize = 16;

/// One line of a table.
pub(crate) fn row(name: &str, value: &str, note: &str) {
    println!("{}", format!("  {name:<20}{value:>VALUE$}   {note}").trim_end());
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
