use saggar_plugin::testing::Context;
use saggar_plugin::{Error, Kind};

use super::*;

const ORDERS: &str = "country,amount\nNL,1\nDE,2.5\nNL,3\n";

fn asked() -> Context {
    Context::new().queue("totals").header("Totals-Column", "amount").header("Totals-By", "country")
}

fn run(context: &Context, input: &str) -> Result<Totals, Error> {
    context.call(csv_totals, input).map(|output| serde_json::from_slice(&output.payload).expect("it is JSON"))
}

#[test]
fn a_file_becomes_parts_and_a_task_that_waits_for_them() {
    let context = asked().header("Totals-Rows", "2");
    let totals = run(&context, ORDERS).unwrap();
    let [waiting, one, two] = &context.submitted()[..] else { panic!("{:?}", context.submitted()) };
    assert_eq!((waiting.joins, totals.parts), (Some(2), 2));
    assert_eq!(totals.task.as_ref(), Some(&waiting.task));
    assert_eq!(one.group.as_ref(), Some(&waiting.task));
    assert_eq!(two.payload, b"country,amount\nNL,3\n");
    assert!(one.headers.contains(&("Totals-Column".to_owned(), "amount".to_owned())));
}

#[test]
fn a_part_is_added_up_by_group() {
    let totals = run(&asked().header("Saggar-Parent", "totals/a"), ORDERS).unwrap();
    assert_eq!((totals.rows, totals.totals["NL"], totals.totals["DE"]), (3, 4.0, 2.5));
}

#[test]
fn the_parts_are_put_together_and_those_that_failed_are_named() {
    let context = Context::new()
        .header("Saggar-Joins", "3")
        .ended("totals/1", "succeeded", r#"{"rows":2,"totals":{"NL":1,"DE":2.5}}"#)
        .ended("totals/2", "rejected", "{}")
        .ended("totals/3", "succeeded", r#"{"rows":1,"totals":{"NL":3}}"#);
    let totals = run(&context, "").unwrap();
    assert_eq!((totals.parts, totals.rows, totals.totals["NL"]), (2, 3, 4.0));
    assert_eq!(totals.failed, ["totals/2"]);
}

#[test]
fn what_cannot_be_added_up_is_rejected_with_its_reason() {
    let part = || asked().header("Saggar-Parent", "totals/a");
    for (context, input, code) in [
        (Context::new(), ORDERS, "missing-header"),
        (asked().header("Totals-Rows", "0"), ORDERS, "bad-header"),
        (asked(), "a,b\n1\n", "bad-csv"),
        (part(), "country,sum\nNL,1\n", "no-column"),
        (part(), "country,amount\nNL,many\n", "no-number"),
        (asked().header("Totals-Rows", "1"), &format!("a\n{}", "1\n".repeat(1001)), "too-many-parts"),
    ] {
        let error = run(&context, input).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (Kind::Reject, Some(code)), "{error}");
        assert!(context.submitted().is_empty());
    }
}
