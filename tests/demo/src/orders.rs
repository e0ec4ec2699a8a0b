//! Orders of an imaginary shop, as lines of JSON or as one JSON array, with the commas, quotes and accents that make
//! CSV hard.

use std::fmt::Write as _;

use crate::dice::Dice;

const CUSTOMERS: [&str; 6] = [
    "Ada Lovelace",
    "Grace Hopper",
    "Žofia Á. Nagy",
    "Müller, Söhne & Co.",
    "J. \\\"Ray\\\" Kaplan",
    "Ōe Kenzaburō",
];
const CITIES: [&str; 5] = ["London", "New York", "Győr", "Köln", "東京"];
const STATUS: [&str; 3] = ["open", "paid", "shipped"];

/// The columns that the demonstration exports, as the plugin wants them named.
pub const COLUMNS: &str = "id,customer.name,customer.city,total,status";
/// Which orders it exports.
pub const FILTER: &str = "status=open; total>=100";

/// A file of orders.
pub struct Orders {
    /// The file.
    pub text: String,
    /// Its media type.
    pub content_type: &'static str,
    /// How many of them [`FILTER`] keeps.
    pub kept: usize,
}

/// A file with so many orders.
pub fn orders(seed: u64, rows: usize) -> Orders {
    let mut dice = Dice::new(seed);
    let is_array = seed % 2 == 1;
    let mut text = String::with_capacity(rows * 140);
    let mut kept = 0;
    for row in 0..rows {
        let (customer, city, status) = (dice.pick(&CUSTOMERS), dice.pick(&CITIES), dice.pick(&STATUS));
        let cents = dice.roll(100_000);
        kept += usize::from(*status == "open" && cents >= 10_000);
        text.push_str(if !is_array {
            ""
        } else if row == 0 {
            "["
        } else {
            ","
        });
        writeln!(
            text,
            r#"{{"id":{},"customer":{{"name":"{customer}","city":"{city}"}},"total":{}.{:02},"status":"{status}"}}"#,
            9_007_199_254_740_993 + row,
            cents / 100,
            cents % 100,
        )
        .expect("writing to a string cannot fail");
    }
    if is_array {
        text.push(']');
    }
    let content_type = if is_array { "application/json" } else { "application/x-ndjson" };
    Orders { text, content_type, kept }
}
