use saggar_plugin::testing::Context;
use saggar_plugin::{Error, Kind, Output, blobs};

use crate::bulk_export;

const ORDERS: &str =
    "{\"id\":1,\"customer\":{\"city\":\"Graz\"}}\n\n{\"id\":2,\"note\":\"a, b\"}\n{\"id\":3}\n";

const REQUEST: &str =
    r#"{"from":"raw/orders","to":"out/o","columns":["id","customer.city","note"],"rows_per_part":2}"#;

fn with_orders(context: &Context) {
    context.run(|| blobs::create("raw").unwrap().write("orders", ORDERS.as_bytes())).unwrap();
}

fn export(context: &Context, request: &str) -> Result<Output, Error> {
    context.call(bulk_export, request)
}

fn objects(context: &Context) -> Vec<(String, String)> {
    context.run(|| {
        let out = blobs::container("out").unwrap();
        let mut names = out.names().unwrap();
        names.sort();
        let read = |name: &String| String::from_utf8(out.read(name).unwrap()).unwrap();
        names.iter().map(|name| (name.clone(), read(name))).collect()
    })
}

#[test]
fn an_object_becomes_parts_of_so_many_rows() {
    let context = Context::new();
    with_orders(&context);
    let output = export(&context, REQUEST).unwrap();
    assert_eq!(output.payload, br#"{"parts":2,"rows":3,"resumed":false}"#);
    assert_eq!(
        objects(&context),
        [
            ("o-00001.csv".to_owned(), "id,customer.city,note\n1,Graz,\n2,,\"a, b\"\n".to_owned()),
            ("o-00002.csv".to_owned(), "id,customer.city,note\n3,,\n".to_owned()),
        ]
    );
    assert!(context.reports().last().unwrap().fraction >= 1.0);
}

#[test]
fn an_attempt_goes_on_where_the_last_one_stopped() {
    let first = Context::new().cancelled(true);
    with_orders(&first);
    let stopped = export(&first, REQUEST).unwrap_err();
    assert_eq!(stopped.kind, Kind::Retry);
    assert_eq!(objects(&first).len(), 1, "a whole part");
    let kept = first.checkpoints().pop().unwrap();

    let second = first.clone().cancelled(false).checkpoint(kept);
    let output = export(&second, REQUEST).unwrap();
    assert_eq!(output.payload, br#"{"parts":2,"rows":3,"resumed":true}"#);
    assert_eq!(objects(&second)[1].1, "id,customer.city,note\n3,,\n");
}

#[test]
fn an_object_that_was_replaced_meanwhile_is_no_longer_the_same_export() {
    let first = Context::new().cancelled(true);
    with_orders(&first);
    export(&first, REQUEST).unwrap_err();
    let kept = first.checkpoints().pop().unwrap();
    first.run(|| blobs::container("raw").unwrap().write("orders", b"{}\n")).unwrap();
    let error = export(&first.clone().checkpoint(kept), REQUEST).unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Reject, Some("changed")));
}

#[test]
fn what_cannot_be_exported_is_named() {
    let context = Context::new();
    with_orders(&context);
    context.run(|| blobs::create("raw").unwrap().write("bad", b"{\"id\":1}\n[]\n")).unwrap();
    for (request, part) in [
        (r#"{"from":"raw","to":"out/o","columns":["id"]}"#, "`from` must be CONTAINER/OBJECT"),
        (r#"{"from":"raw/orders","to":"out/","columns":["id"]}"#, "`to` must be CONTAINER/OBJECT"),
        (r#"{"from":"raw/orders","to":"out/o","columns":[]}"#, "`columns` names no column"),
        (
            r#"{"from":"raw/orders","to":"out/o","columns":["id"],"rows_per_part":0}"#,
            "`rows_per_part` must be",
        ),
        (r#"{"from":"raw/orders","to":"out/o","columns":["id"],"rows":1}"#, "unknown field `rows`"),
        (r#"{"from":"raw/nothing","to":"out/o","columns":["id"]}"#, "there is no object nothing in raw"),
        (r#"{"from":"nowhere/orders","to":"out/o","columns":["id"]}"#, "orders: "),
        (r#"{"from":"raw/bad","to":"out/b","columns":["id"]}"#, "row 2 is no JSON object"),
    ] {
        let error = export(&context, request).unwrap_err();
        assert_eq!(error.kind, Kind::Reject, "{request}");
        assert!(error.reason.contains(part), "{part} in {}", error.reason);
    }
    assert!(objects(&context).iter().all(|(name, _)| !name.starts_with("b-")), "no half of a part");
}
