//! E. After what lies around the sandbox: files, variables, sockets. Each program traps if anything of it is there.
//!
//! All of it can be called, since toolchains import what they never use; behind it there is nothing. Programs of
//! ordinary standard libraries that look for the same are among the sandbox's own tests.

use saggar_model::Outcome::{Succeeded, Trapped};

use crate::Attack;
use crate::Expected::Ends;
use crate::imports::{FILES, NETWORK, SURROUNDINGS};
use crate::program::{SPACE, calls};

/// Where the functions tried here write what they return.
const FIRST: u32 = SPACE;
const SECOND: u32 = SPACE + 64;

/// 127.0.0.1:4222, with nothing where a longer address would go on.
const ADDRESS: &str =
    "(i32.const 0) (i32.const 4222) (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)";

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "53-directories",
            "asks for the directories that it was given",
            Ends(Succeeded),
            calls(FILES, &format!("(call $directories (i32.const {FIRST})) {}", traps_if_any(FIRST))),
        ),
        Attack::new(
            "53b-made-up-directory",
            "opens a file in a directory that it was not given",
            Ends(Trapped),
            calls(
                FILES,
                &format!(
                    "(call $open (i32.const 3) (i32.const 0) (i32.const {SPACE}) (i32.const 1) (i32.const 0)
                        (i32.const 1) (i32.const {FIRST}))"
                ),
            ),
        ),
        Attack::new(
            "54-surroundings",
            "asks for variables, arguments and the directory that it was started in",
            Ends(Succeeded),
            calls(
                SURROUNDINGS,
                &format!(
                    "(call $variables (i32.const {FIRST})) {0}
                     (call $arguments (i32.const {FIRST})) {0}
                     (call $directory (i32.const {FIRST}))
                     (if (i32.load8_u (i32.const {FIRST})) (then unreachable))",
                    traps_if_any(FIRST)
                ),
            ),
        ),
        Attack::new(
            "55-connection",
            "connects to a server of this machine",
            Ends(Succeeded),
            calls(NETWORK, &with_socket("$tcp", "$connect")),
        ),
        Attack::new(
            "55b-listener",
            "waits for connections",
            Ends(Succeeded),
            calls(NETWORK, &with_socket("$tcp", "$listen")),
        ),
        Attack::new(
            "55c-datagrams",
            "waits for datagrams",
            Ends(Succeeded),
            calls(NETWORK, &with_socket("$udp", "$receive")),
        ),
        Attack::new(
            "55d-look-up",
            // The bytes of `localhos`, which is a name as good as any.
            "looks for the address of a name",
            Ends(Succeeded),
            calls(
                NETWORK,
                &format!(
                    "(i64.store (i32.const {SECOND}) (i64.const 0x736f686c61636f6c))
                    (call $resolve (call $network) (i32.const {SECOND}) (i32.const 8) (i32.const {FIRST}))
                    {}",
                    traps_unless_error(FIRST)
                ),
            ),
        ),
    ]
}

/// Traps if the list whose place and length lie there has anything in it.
fn traps_if_any(at: u32) -> String {
    format!("(if (i32.load (i32.const {})) (then unreachable))", at + 4)
}

/// Traps if the result that lies there is none of an error.
fn traps_unless_error(at: u32) -> String {
    format!("(if (i32.eqz (i32.load8_u (i32.const {at}))) (then unreachable))")
}

/// Makes a socket, which by itself leads nowhere, and does with it what must be denied.
fn with_socket(make: &str, what: &str) -> String {
    format!(
        "(local.set $n (call $network))
         (call {make} (i32.const 0) (i32.const {FIRST}))
         (if (i32.eqz (i32.load8_u (i32.const {FIRST}))) (then
            (call {what} (i32.load (i32.const {})) (local.get $n) {ADDRESS} (i32.const {SECOND}))
            {}))",
        FIRST + 4,
        traps_unless_error(SECOND)
    )
}
