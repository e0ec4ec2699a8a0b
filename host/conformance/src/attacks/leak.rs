//! E. After what others left behind: one guest leaves a canary in every place it has, another looks for it.
//!
//! Both take all memories and tables that a component may have, so that in a sandbox of one slot the second gets
//! what the first had.

use saggar_model::Outcome::Succeeded;

use super::patience;
use crate::Expected::Ends;
use crate::program::component_that_does;
use crate::{Attack, Guest};

/// A canary that no guest has by chance.
const CANARY: &str = "0xca9a4ca9a4ca9a41";

/// Pages that a memory has from the start and that it has in the end. One memory has more than is cleared by
/// writing zeros, the others have less.
const SMALL: (u32, u32) = (2, 3);
const LARGE: (u32, u32) = (2, 40);

/// Memories beside the handler's own, and modules of four tables each: all that there may be.
const MEMORIES: usize = 7;
const TABLE_MODULES: usize = 16;

/// Levels of recursion, each with 32 locals of eight bytes: a quarter of the stack.
const LEVELS: u32 = 1_000;

pub(super) fn attacks() -> Vec<Attack> {
    let canary = |id, name, does| Attack::new(id, name, Ends(Succeeded), holder(does)).within(patience);
    vec![
        canary("62-canary-left", "fills all its memory, tables and stack with a canary", Does::Leave),
        canary(
            "62b-canary-sought",
            "looks for that canary in memory, tables and stack of its own",
            Does::Seek,
        ),
    ]
}

#[derive(Clone, Copy)]
enum Does {
    Leave,
    Seek,
}

fn holder(does: Does) -> Guest {
    let memories: String =
        (0..MEMORIES).map(|n| memory(does, n, if n == 0 { LARGE } else { SMALL })).collect();
    let tables = format!("(core module $tables {})", tables(does));
    let instances = "(core instance (instantiate $tables))".repeat(TABLE_MODULES);
    component_that_does(
        &format!("{memories} {tables} {instances}"),
        "",
        &stack(does),
        "(call $dive (i32.const 0))",
    )
}

/// A module whose start function fills its memory, or traps if anything is in it; the memory grows to its end first.
fn memory(does: Does, n: usize, (from, to): (u32, u32)) -> String {
    let what = match does {
        Does::Leave => format!("(i64.store (local.get $at) (i64.const {CANARY}))"),
        Does::Seek => "(if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))".to_owned(),
    };
    let more = to - from;
    let end = u64::from(to) * 65_536;
    format!(
        "(core module $memory{n}
            (memory {from})
            (func $all (local $at i32)
                (drop (memory.grow (i32.const {more})))
                (loop $next {what}
                    (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const {end})))))
            (start $all)) (core instance (instantiate $memory{n}))"
    )
}

/// Four tables whose entries are set, or must all be null.
fn tables(does: Does) -> String {
    const ENTRIES: u32 = 1_000;
    let table = |n: u32| {
        let what = match does {
            Does::Leave => format!("(table.set {n} (local.get $at) (ref.func $all))"),
            Does::Seek => {
                format!("(if (i32.eqz (ref.is_null (table.get {n} (local.get $at)))) (then unreachable))")
            }
        };
        format!(
            "(local.set $at (i32.const 0)) (loop $next {what}
                (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const {ENTRIES}))))"
        )
    };
    let declared = format!("(table {ENTRIES} funcref)").repeat(4);
    let all: String = (0..4).map(table).collect();
    format!("{declared} (elem declare func $all) (func $all (local $at i32) {all}) (start $all)")
}

/// A function that calls itself with many locals, all of which hold the canary, or must begin as zero.
fn stack(does: Does) -> String {
    const LOCALS: u32 = 32;
    let local = |n: u32| match does {
        Does::Leave => format!("(local.set {n} (i64.const {CANARY}))"),
        Does::Seek => format!("(if (i64.ne (local.get {n}) (i64.const 0)) (then unreachable))"),
    };
    // What is kept across the call lies on the stack.
    let kept = |n: u32| format!("(drop (i64.add (local.get {n}) (i64.const 1)))");
    let (locals, before, after) = (
        "i64 ".repeat(LOCALS as usize),
        (1..=LOCALS).map(local).collect::<String>(),
        (1..=LOCALS).map(kept).collect::<String>(),
    );
    format!(
        "(func $dive (param i32) (local {locals}) {before}
            (if (i32.lt_u (local.get 0) (i32.const {LEVELS}))
                (then (call $dive (i32.add (local.get 0) (i32.const 1))))) {after})"
    )
}
