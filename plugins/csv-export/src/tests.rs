//! The plugin from payload to output.

use saggar_plugin::testing::Context;
use saggar_plugin::{Error, Kind, Output};

use super::{ROWS_BETWEEN_REPORTS, csv_export};

fn run(payload: &str, headers: &[(&str, &str)]) -> Result<Output, Error> {
    let add = |context: Context, (name, value): &(&str, &str)| context.header(*name, *value);
    headers.iter().fold(Context::new(), add).call(csv_export, payload)
}

#[track_caller]
fn check(payload: &str, headers: &[(&str, &str)], expected: &str) {
    let output = run(payload, headers).unwrap();
    assert_eq!(String::from_utf8(output.payload).unwrap(), expected);
}

#[track_caller]
fn check_refused(payload: &str, headers: &[(&str, &str)], reason: &str) {
    let error = run(payload, headers).unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::Reject, reason));
}

#[test]
fn lines_become_rows_and_all_keys_columns() {
    let lines = "{\"a\":1,\"b\":2}\r\n\r\n{\"c\":3,\"a\":4}";
    check(lines, &[], "a,b,c\n1,2,\n4,,3\n");
}

#[test]
fn an_array_becomes_the_same_table_as_lines() {
    check(" [ {\"a\":1,\"b\":2},\n{\"c\":3,\"a\":4} ]", &[], "a,b,c\n1,2,\n4,,3\n");
}

#[test]
fn a_single_object_may_stretch_over_lines_if_it_is_called_json() {
    let object = "{\n  \"a\": 1\n}";
    check(object, &[("Content-Type", "application/json; charset=utf-8")], "a\n1\n");
    let error = run(object, &[]).unwrap_err();
    let reason = "line 1, column 1: EOF while parsing an object; each line must be a whole object";
    assert_eq!(error.reason, reason);
}

#[test]
fn columns_are_taken_in_the_order_asked_for() {
    let line = r#"{"name":"Ada","address":{"city":"London","zip":"N1"},"age":36}"#;
    let headers = [("Csv-Columns", "address.city, name, phone")];
    check(line, &headers, "address.city,name,phone\nLondon,Ada,\n");
}

#[test]
fn cells_are_quoted_where_they_must_be() {
    let line = r#"{"a":"x,y","b":"say \"hi\"","c":"two\nlines","d":{"e":[1, 2]}}"#;
    let expected = "a,b,c,d\n\"x,y\",\"say \"\"hi\"\"\",\"two\nlines\",\"{\"\"e\"\":[1, 2]}\"\n";
    check(line, &[], expected);
}

#[test]
fn delimiter_line_end_and_header_can_be_chosen() {
    let headers = [("Csv-Delimiter", ";"), ("Csv-Crlf", "true"), ("Csv-Header", "false")];
    check(r#"{"a":"x,y","b":"p;q"}"#, &headers, "x,y;\"p;q\"\r\n");
    let output = run("{}", &headers).unwrap();
    assert_eq!(output.content_type, "text/csv; charset=utf-8; header=absent");
}

#[test]
fn formulas_are_disarmed_on_request_and_numbers_left_alone() {
    let line = r#"{"a":"=1+1","b":-5,"c":"@SUM(A1)","d":"5-3","+e":"\tx"}"#;
    check(line, &[], "a,b,c,d,+e\n=1+1,-5,@SUM(A1),5-3,\tx\n");
    check(line, &[("Csv-Safe", "true")], "a,b,c,d,'+e\n'=1+1,-5,'@SUM(A1),5-3,'\tx\n");
}

#[test]
fn only_rows_that_pass_the_filter_are_written() {
    let lines = "{\"n\":1,\"s\":\"on\"}\n{\"n\":2,\"s\":\"off\"}\n{\"n\":3,\"s\":\"on\"}";
    check(lines, &[("Csv-Filter", "s=on; n>1"), ("Csv-Columns", "n")], "n\n3\n");
}

#[test]
fn nothing_in_means_nothing_out_but_the_columns_asked_for() {
    check("", &[], "");
    check("[]", &[], "");
    check("", &[("Csv-Columns", "a,b")], "a,b\n");
    check("", &[("Content-Type", "application/json")], "");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_key() {
    check("\u{feff}{\"a\":1}", &[], "a\n1\n");
}

#[test]
fn a_bad_line_is_rejected_with_its_place() {
    check_refused("{\"a\":1}\n\n{\"a\":,}\n", &[], "line 3, column 6: expected value");
    check_refused(
        "{\"a\":1}\n  17\n",
        &[],
        "line 2, column 4: invalid type: integer `17`, expected a JSON object",
    );
    check_refused("{\"a\":1}{\"a\":2}\n", &[], "line 1, column 8: trailing characters");
}

#[test]
fn a_bad_element_of_an_array_is_rejected_with_its_place() {
    let error = run("[{\"a\":1},\n {\"a\":1}, 17]", &[]).unwrap_err();
    assert!(error.reason.starts_with("line 2, column 12: invalid type: integer"), "{error}");
    let error = run("[{\"a\":1},\n{]", &[]).unwrap_err();
    assert!(error.reason.contains("at line 2 column 2"), "{error}");
}

#[test]
fn a_string_that_is_no_text_is_rejected_with_its_place() {
    let error = run("{\"a\":1}\n{\"a\":\"\\ud800\"}", &[]).unwrap_err();
    assert!(error.reason.starts_with("line 2, column 13:"), "{error}");
}

#[test]
fn a_large_input_reports_progress_and_stops_when_asked() {
    let lines = "{\"a\":1}\n".repeat(ROWS_BETWEEN_REPORTS * 2);
    let context = Context::new();
    context.call(csv_export, lines.as_str()).unwrap();
    let [report] = &context.reports()[..] else { panic!("{:?}", context.reports()) };
    assert_eq!((report.fraction, report.message.as_str()), (0.5, "4096 rows read"));

    let error = Context::new().cancelled(true).call(csv_export, lines.as_str()).unwrap_err();
    assert_eq!(error.kind, Kind::Retry);
}
