use super::ceilings::{
    ALIASES, BODY_BYTES, BRANCHED_LOCALS, CANONICALS, COMPONENT_DEPTH, DATA_SEGMENTS, ELEMENT_SEGMENTS,
    ELEMENTS, EXPORTS, FUNCTIONS, GLOBALS, IMPORTS, LOCALS, LOOP_NESTING, NESTING, PARAMETERS, RESULTS,
    TYPE_DEPTH, TYPES,
};
use super::*;
use crate::settings::{
    CORE_INSTANCES_PER_COMPONENT, FEATURES, MEMORIES_PER_COMPONENT, TABLE_ELEMENTS, TABLES_PER_COMPONENT,
};

/// Memories of so many pages are all that the host of these tests has.
const MOST_PAGES: u64 = 16;

fn checked(wasm: &[u8]) -> Result<(), Refused> {
    check(wasm, FEATURES, MOST_PAGES * PAGE_BYTES).map(|_| ())
}

fn component(inside: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {inside})")).unwrap()
}

fn module(inside: &str) -> String {
    format!("(core module {inside})")
}

fn many(n: usize, what: impl Fn(usize) -> String) -> String {
    (0..n).map(what).collect()
}

/// A component that has so many of something, what it is, and the most there may be.
type Case = (fn(usize) -> String, &'static str, u64);

fn cases() -> Vec<Case> {
    vec![
        (|n| module(&"(func)".repeat(n)), "functions", FUNCTIONS),
        (
            |n| module(&format!("(type (func (param {})))", "i32 ".repeat(n))),
            "parameters of one function",
            PARAMETERS,
        ),
        (
            |n| module(&format!("(type (func (result {})))", "i32 ".repeat(n))),
            "results of one function",
            RESULTS,
        ),
        // A body is also its number of locals, and its end.
        (|n| module(&format!("(func {})", "nop ".repeat(n - 2))), "bytes of code", BODY_BYTES),
        (|n| module(&format!("(func (param i32) (local {}))", "i32 ".repeat(n - 1))), "locals", LOCALS),
        (
            |n| module(&format!("(func {} {})", "block ".repeat(n), "end ".repeat(n))),
            "blocks within blocks",
            NESTING,
        ),
        (
            |n| module(&format!("(func {} {})", "loop ".repeat(n), "end ".repeat(n))),
            "loops within loops",
            LOOP_NESTING,
        ),
        (
            |n| {
                // A thousand locals, and a table of all branches but the block and the table itself.
                let (locals, targets) = ("i32 ".repeat(999), "0 ".repeat(n / 1_000 - 1));
                let one_more = "br 0 ".repeat(n % 1_000);
                module(&format!(
                    "(func (param i32) (local {locals}) block local.get 0 br_table {targets} {one_more} end)"
                ))
            },
            "locals times branches",
            BRANCHED_LOCALS,
        ),
        (|n| module(&"(type (func))".repeat(n)), "types", TYPES),
        (|n| "(type (func))".repeat(n), "types", TYPES),
        (
            |n| format!("{}{}", "(type (instance ".repeat(n - 1), "))".repeat(n - 1)),
            "types within types",
            TYPE_DEPTH,
        ),
        (
            |n| format!("{}{}", "(component ".repeat(n - 1), ")".repeat(n - 1)),
            "components within components",
            COMPONENT_DEPTH,
        ),
        (|n| module(&many(n, |i| format!("(import \"\" \"{i}\" (func))"))), "imports", IMPORTS),
        (
            |n| module(&format!("(func $f) {}", many(n, |i| format!("(export \"{i}\" (func $f))")))),
            "exports",
            EXPORTS,
        ),
        (
            |n| {
                format!(
                    "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {}",
                    "(alias core export $i \"f\" (core func))".repeat(n)
                )
            },
            "aliases",
            ALIASES,
        ),
        (
            |n| format!("(type $r (resource (rep i32))) {}", "(core func (canon resource.new $r))".repeat(n)),
            "functions across the wall",
            CANONICALS,
        ),
        (|n| module(&"(global i32 (i32.const 0))".repeat(n)), "globals", GLOBALS),
        (|n| module(&"(data \"\")".repeat(n)), "data segments", DATA_SEGMENTS),
        (|n| module(&"(elem func)".repeat(n)), "element segments", ELEMENT_SEGMENTS),
        (|n| module(&format!("(func $f) (elem func {})", "$f ".repeat(n))), "elements of tables", ELEMENTS),
        (|n| module(&format!("(table {n} funcref)")), "elements of one table", TABLE_ELEMENTS as u64),
        (|n| module(&format!("(memory {n})")), "pages of memory from the start", MOST_PAGES),
        (
            |n| format!("(core module $m) {}", "(core instance (instantiate $m))".repeat(n)),
            "core instances",
            CORE_INSTANCES_PER_COMPONENT.into(),
        ),
        (
            |n| format!("(core module $m (memory 1)) {}", "(core instance (instantiate $m))".repeat(n)),
            "memories",
            MEMORIES_PER_COMPONENT.into(),
        ),
        (
            |n| {
                format!(
                    "(core module $m (table 1 funcref)(table 1 funcref)) (core module $one (table 1 funcref)) {} {}",
                    "(core instance (instantiate $m))".repeat(n / 2),
                    "(core instance (instantiate $one))".repeat(n % 2)
                )
            },
            "tables",
            TABLES_PER_COMPONENT.into(),
        ),
    ]
}

#[test]
fn every_ceiling_is_obeyed_and_one_more_is_refused() {
    for (with, what, most) in cases() {
        let some = usize::try_from(most).unwrap();
        checked(&component(&with(some))).unwrap_or_else(|refused| panic!("{most} {what}: {refused}"));
        match checked(&component(&with(some + 1))) {
            Err(Refused::TooMuch(excess)) => {
                assert_eq!((excess.what, excess.most), (what, most));
                assert!(excess.found > most, "{excess}");
            }
            other => panic!("{} {what}: {other:?}", most + 1),
        }
    }
}

#[test]
fn what_is_too_much_is_said_with_its_place() {
    let text = format!(
        "(core module) (core module (import \"\" \"\" (func)) (func (local {})))",
        "i32 ".repeat(10_001)
    );
    let refused = checked(&component(&text)).unwrap_err();
    let said = "the component is too expensive: it has 10001 locals in function 1 of module 1, and at most 10000 are allowed";
    assert_eq!(refused.to_string(), said);
}

#[test]
fn components_that_double_with_each_level_are_refused_however_short_they_are() {
    let doubling = |first: &str| {
        let level = |n: u64| {
            let before = n - 1;
            format!(
                "(component $c{n} (alias outer 1 $c{before} (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))"
            )
        };
        component(&format!("(component $c0 {first}) {}", (1..40).map(level).collect::<String>()))
    };
    for first in ["", "(core module $m) (core instance (instantiate $m))"] {
        let wasm = doubling(first);
        assert!(wasm.len() < 5_000, "{} bytes", wasm.len());
        assert!(matches!(checked(&wasm), Err(Refused::TooMuch(_))));
    }
}

#[test]
fn components_that_are_passed_around_are_refused() {
    for text in [
        "(import \"c\" (component))",
        "(import \"i\" (instance $i (export \"c\" (component)))) (alias export $i \"c\" (component $c))",
    ] {
        assert!(matches!(checked(&component(text)), Err(Refused::TooMuch(_))), "{text}");
    }
}

/// A component whose only section is this.
fn with_section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
    wasm.push(id);
    let mut length = content.len();
    while length >= 0x80 {
        wasm.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    wasm.push(length.to_le_bytes()[0]);
    wasm.extend(content);
    wasm
}

#[test]
fn a_million_types_within_each_other_do_not_overflow_the_stack() {
    const TYPE_SECTION: u8 = 7;
    for kind in [0x41, 0x42] {
        let mut content = vec![1];
        content.extend([kind, 1, 1].repeat(1_000_000));
        let refused = checked(&with_section(TYPE_SECTION, &content)).unwrap_err();
        assert!(matches!(refused, Refused::TooMuch(Excess { what: "types within types", .. })), "{refused}");
    }
}

#[test]
fn what_the_engine_does_not_run_is_refused() {
    for inside in [
        "(memory 1 1 shared)",
        "(memory i64 1)",
        "(memory 1 (pagesize 1))",
        "(tag)",
        "(type (struct))",
        "(func (param externref))",
    ] {
        let refused = checked(&component(&module(inside)));
        assert!(matches!(refused, Err(Refused::Broken(_))), "{inside}: {refused:?}");
    }
    let two_memories_and_vectors = module("(memory 1) (memory 1) (func (drop (v128.const i64x2 0 0)))");
    checked(&component(&two_memories_and_vectors)).unwrap();
}

#[test]
fn whatever_a_compiler_would_stumble_over_is_refused_before_it() {
    for inside in ["(func (result i32))", "(func i32.const 0 i64.add drop)", "(func (br 7))", "(start 0)"] {
        assert!(matches!(checked(&component(&module(inside))), Err(Refused::Broken(_))), "{inside}");
    }
}

#[test]
fn every_plugin_and_guest_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/target/wasm32-wasip2/release");
    let mut seen = 0;
    for folder in [folder.to_owned(), format!("{folder}/examples")] {
        for entry in std::fs::read_dir(&folder).expect("guests are built: run `make guests`") {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let wasm = std::fs::read(&path).unwrap();
                check(&wasm, FEATURES, 4 << 30)
                    .unwrap_or_else(|refused| panic!("{}: {refused}", path.display()));
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} components");
}
