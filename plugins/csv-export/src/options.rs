//! What the table should be like: the task headers that begin with `Csv-`.
//!
//! A header of that name that is not known here is an error. Ignored, a misspelt filter would export every row.

use saggar_plugin::Error;

use crate::filter::Filter;

#[derive(Debug, PartialEq)]
pub struct Options {
    /// Paths, in the order of the columns. `None` means all keys.
    pub columns: Option<Vec<String>>,
    pub filter: Filter,
    pub delimiter: u8,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Whether lines end as RFC 4180 wants it, rather than in a line feed alone.
    pub crlf: bool,
    /// Whether spreadsheets are kept from taking text for a formula.
    pub safe: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            columns: None,
            filter: Filter::default(),
            delimiter: b',',
            header: true,
            crlf: false,
            safe: false,
        }
    }
}

impl Options {
    /// Reads names and values of all task headers.
    pub fn from_headers(headers: &[(String, String)]) -> Result<Self, Error> {
        let mut options = Self::default();
        for (name, value) in headers {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "csv-columns" => options.columns = Some(columns(name, value)?),
                "csv-filter" => options.filter = filter(name, value)?,
                "csv-delimiter" => options.delimiter = delimiter(name, value)?,
                "csv-header" => options.header = boolean(name, value)?,
                "csv-crlf" => options.crlf = boolean(name, value)?,
                "csv-safe" => options.safe = boolean(name, value)?,
                unknown if unknown.starts_with("csv-") => {
                    return Err(bad(format!(
                        "the header `{name}` is not known; there are `Csv-Columns`, `Csv-Filter`, `Csv-Delimiter`, \
                         `Csv-Header`, `Csv-Crlf` and `Csv-Safe`"
                    )));
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

fn columns(name: &str, value: &str) -> Result<Vec<String>, Error> {
    let columns: Vec<String> = value.split(',').map(|column| column.trim().to_owned()).collect();
    if columns.iter().any(String::is_empty) {
        return Err(bad(format!("the header `{name}` must be names joined by commas, not `{value}`")));
    }
    Ok(columns)
}

fn filter(name: &str, value: &str) -> Result<Filter, Error> {
    Filter::parse(value).map_err(|part| {
        bad(format!(
            "the header `{name}` must be conditions such as `status=active; age>=18`, with =, !=, <, <=, >, >= or ~ \
             (contains); `{part}` is none"
        ))
    })
}

fn delimiter(name: &str, value: &str) -> Result<u8, Error> {
    match value.as_bytes() {
        b"tab" => Ok(b'\t'),
        [delimiter] if delimiter.is_ascii_punctuation() && *delimiter != b'"' => Ok(*delimiter),
        _ => Err(bad(format!(
            "the header `{name}` must be one character such as `;` or `|`, or `tab`, not `{value}`"
        ))),
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(bad(format!("the header `{name}` must be `true` or `false`, not `{value}`"))),
    }
}

fn bad(reason: String) -> Error {
    Error::reject(reason).code("bad-parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Options, Error> {
        Options::from_headers(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn headers_are_found_without_regard_to_case() {
        let options = read("CSV-COLUMNS", "name, address.city").unwrap();
        assert_eq!(options.columns, Some(vec!["name".to_owned(), "address.city".to_owned()]));
    }

    #[test]
    fn headers_of_others_are_ignored_and_misspelt_ones_are_not() {
        assert_eq!(read("Tenant-Note", "hello"), Ok(Options::default()));
        assert!(read("Csv-Fitler", "a=1").unwrap_err().reason.contains("`Csv-Fitler` is not known"));
    }

    #[test]
    fn a_value_that_cannot_be_obeyed_is_rejected_with_what_could() {
        assert!(read("Csv-Columns", "a,,b").unwrap_err().reason.contains("names joined by commas"));
        assert!(read("Csv-Filter", "active").unwrap_err().reason.contains("`active` is none"));
        assert!(read("Csv-Delimiter", "::").unwrap_err().reason.contains("or `tab`, not `::`"));
        assert!(read("Csv-Safe", "yes").unwrap_err().reason.contains("`true` or `false`"));
    }

    #[test]
    fn a_tab_is_called_by_its_name() {
        assert_eq!(read("Csv-Delimiter", "tab").unwrap().delimiter, b'\t');
    }
}
