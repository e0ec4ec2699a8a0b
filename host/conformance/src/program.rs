//! Programs of attackers, put together from the parts that differ.
//!
//! A program in text is a core module: what it imports, what its handler does, and what else it has. Its memory
//! begins with the handler's result, which is an empty output as long as nobody writes to it.

use crate::Guest;

/// Where the handler's result lies. It is of type `result<output, error>`, and all zeros are an empty output.
pub(crate) const RESULT: u32 = 16;

/// Where a program may write what it likes.
pub(crate) const SPACE: u32 = 1024;

/// Where memory is given out from, upwards and for good.
pub(crate) const HEAP: u32 = 4096;

/// Variables that a handler may use.
const LOCALS: &str = "(local $i i32) (local $n i32) (local $handle i32) (local $long i64)";

/// Gives memory out and grows it when there is none left; traps when there is no more to be had.
const ALLOCATE: &str = r"
    (local.set $place (i32.and
        (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $place) (local.get $size)))
    (block $enough (loop $more
        (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
        unreachable))
    (local.get $place)";

/// The parts of a program that differ from attack to attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) imports: &'a str,
    /// Memory at the start, in pages of 64 KiB.
    pub(crate) pages: u32,
    /// What the handler does; `$in` and `$len` are its input.
    pub(crate) body: &'a str,
    /// What happens when the host asks for memory; `$align` and `$size` say for what.
    pub(crate) allocate: &'a str,
    /// Functions, globals, tables, a start function.
    pub(crate) more: &'a str,
}

impl Default for Program<'_> {
    fn default() -> Self {
        Self { imports: "", pages: 1, body: "", allocate: ALLOCATE, more: "" }
    }
}

impl Program<'_> {
    pub(crate) fn guest(self) -> Guest {
        let Self { imports, pages, body, allocate, more } = self;
        Guest::Module(format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (global $heap (mut i32) (i32.const {HEAP}))
                (func $allocate (export "cabi_realloc")
                    (param $old i32) (param $before i32) (param $align i32) (param $size i32) (result i32)
                    (local $place i32)
                    {allocate})
                (func (export "saggar:task/handler@0.1.0#handle") (param $in i32) (param $len i32) (result i32)
                    {LOCALS}
                    {body}
                    (i32.const {RESULT}))
                {more})"#
        ))
    }
}

/// A handler that does nothing but this.
pub(crate) fn does(body: &str) -> Guest {
    Program { body, ..Program::default() }.guest()
}

/// The same with what it imports.
pub(crate) fn calls(imports: &str, body: &str) -> Guest {
    Program { imports, body, ..Program::default() }.guest()
}

/// A loop without end.
pub(crate) fn forever(what: &str) -> String {
    format!("(loop $for-ever {what} (br $for-ever))")
}

/// A loop of so many rounds.
pub(crate) fn times(rounds: u32, what: &str) -> String {
    format!(
        "(local.set $i (i32.const 0))
         (loop $again {what}
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {rounds}))))"
    )
}

/// The text for each of so many things, one after the other.
pub(crate) fn each(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// A component in text whose handler does nothing, that has all this before it.
#[must_use]
pub fn around_handler(more: &str) -> Guest {
    component_that_does(more, "", "", "")
}

/// A component in text that has all this before its handler, whose module is instantiated with `arguments`, imports
/// `imports` and does `body`.
pub(crate) fn component_that_does(more: &str, arguments: &str, imports: &str, body: &str) -> Guest {
    Guest::Component(format!(
        r#"(component
            {more}
            (core module $main
                {imports}
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {HEAP}))
                (func (export "handle") (param i32 i32) (result i32) {LOCALS} {body} (i32.const {RESULT})))
            (core instance $main (instantiate $main {arguments}))
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
