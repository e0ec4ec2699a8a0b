//! The attacks, by what they are after.
//!
//! A program in text is a core module: what it imports, what its handler does, and what else it has. Its memory
//! begins with the handler's result, which is an empty output as long as nobody writes to it.

mod calls;
mod memory;
mod stack;
mod time;

use crate::{Attack, Guest};

/// Every attack.
#[must_use]
pub fn all() -> Vec<Attack> {
    [time::attacks(), calls::attacks(), memory::attacks(), stack::attacks()].concat()
}

/// A plugin that means no harm.
pub(crate) fn neighbour() -> Guest {
    Program::default().guest()
}

/// Where the handler's result lies. It is of type `result<output, error>`, and all zeros are an empty output.
const RESULT: u32 = 16;

/// Where memory is given out from, upwards and for good.
const HEAP: u32 = 4096;

/// The parts of a program that differ from attack to attack.
#[derive(Debug, Clone, Copy)]
struct Program<'a> {
    imports: &'a str,
    /// Memory at the start, in pages of 64 KiB.
    pages: u32,
    /// What the handler does; `$in` and `$len` are its input.
    body: &'a str,
    /// Functions, globals, tables, a start function.
    more: &'a str,
}

impl Default for Program<'_> {
    fn default() -> Self {
        Self { imports: "", pages: 1, body: "", more: "" }
    }
}

impl Program<'_> {
    fn guest(self) -> Guest {
        let Self { imports, pages, body, more } = self;
        Guest::Module(format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (global $heap (mut i32) (i32.const {HEAP}))
                (func $allocate (export "cabi_realloc")
                    (param $old i32) (param $before i32) (param $align i32) (param $size i32) (result i32)
                    (local $place i32)
                    (local.set $place (i32.and
                        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get $align))))
                    (global.set $heap (i32.add (local.get $place) (local.get $size)))
                    (block $enough (loop $more
                        (br_if $enough (i32.le_u (global.get $heap)
                            (i32.mul (memory.size) (i32.const 65536))))
                        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
                        unreachable))
                    (local.get $place))
                (func (export "saggar:task/handler@0.1.0#handle") (param $in i32) (param $len i32) (result i32)
                    {LOCALS}
                    {body}
                    (i32.const {RESULT}))
                {more})"#
        ))
    }
}

/// Variables that a handler may use.
const LOCALS: &str = "(local $i i32) (local $n i32) (local $handle i32) (local $long i64)";

/// A handler that does nothing but this.
fn does(body: &str) -> Guest {
    Program { body, ..Program::default() }.guest()
}

/// A component in text that has all this beside a handler that does nothing.
#[must_use]
pub fn around_handler(more: &str) -> Guest {
    Guest::Component(format!(
        r#"(component
            {more}
            (core module $main
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {HEAP}))
                (func (export "handle") (param i32 i32) (result i32) (i32.const {RESULT})))
            (core instance $main (instantiate $main))
            (type $output (record (field "content-type" string) (field "payload" (list u8))))
            (type $kind (enum "reject" "retry"))
            (type $error (record (field "kind" $kind) (field "reason" string)
                (field "after-ms" (option u64)) (field "code" (option string))))
            (func $handle (param "input" (list u8)) (result (result $output (error $error)))
                (canon lift (core func $main "handle") (memory (core memory $main "memory")) (realloc (core func $main "realloc"))))
            (component $named
                (type $output (record (field "content-type" string) (field "payload" (list u8))))
                (import "output" (type $output-in (eq $output)))
                (type $kind (enum "reject" "retry"))
                (import "kind" (type $kind-in (eq $kind)))
                (type $error (record (field "kind" $kind-in) (field "reason" string)
                    (field "after-ms" (option u64)) (field "code" (option string))))
                (import "error" (type $error-in (eq $error)))
                (import "handle" (func $handle (param "input" (list u8))
                    (result (result $output-in (error $error-in)))))
                (export $output-out "output" (type $output))
                (export $kind-out "kind" (type $kind))
                (type $error-named (record (field "kind" $kind-out) (field "reason" string)
                    (field "after-ms" (option u64)) (field "code" (option string))))
                (export $error-out "error" (type $error-named))
                (export "handle" (func $handle) (func (param "input" (list u8))
                    (result (result $output-out (error $error-out))))))
            (instance $handler (instantiate $named
                (with "output" (type $output)) (with "kind" (type $kind)) (with "error" (type $error))
                (with "handle" (func $handle))))
            (export "saggar:task/handler@0.1.0" (instance $handler)))"#
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own() {
        let all = all();
        let ids: BTreeSet<_> = all.iter().map(|attack| attack.id).collect();
        assert_eq!(ids.len(), all.len());
        let kebab = |id: &str| {
            id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        assert!(ids.iter().all(|id| kebab(id)), "{ids:?}");
    }

    #[test]
    fn every_attack_can_be_made() {
        for attack in all() {
            attack.guest.build().unwrap_or_else(|error| panic!("{}: {error}", attack.id));
        }
    }
}
