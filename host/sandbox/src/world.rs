//! The worlds whose components the host runs, and which of them a component is for.
//!
//! Decided once from the names that a component exports, by one pure function: when it is looked at, and again from
//! the same names when it is loaded. How an attempt enters each world is in the files below.

pub(crate) mod answer;
pub(crate) mod command;
pub(crate) mod handler;
pub(crate) mod http;

use std::fmt;

/// A world that the host runs components of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Saggar's own: a function from a payload to an output.
    Plugin,
    /// A server's: the task is a request, the response its end.
    Http,
    /// A program's: the payload is standard input, standard output the result.
    Command,
}

impl World {
    /// All of them. A component that exports several is for the first: the more a world can say about the end of a
    /// task, the better, and a program's exit code says least.
    pub const ALL: [Self; 3] = [Self::Plugin, Self::Http, Self::Command];

    /// The world as its own package calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "saggar:task/plugin",
            Self::Http => "wasi:http/proxy",
            Self::Command => "wasi:cli/command",
        }
    }

    /// The interface that a component of this world exports, without its patch number.
    const fn exported(self) -> &'static str {
        match self {
            Self::Plugin => "saggar:task/handler@0.1.",
            Self::Http => "wasi:http/incoming-handler@0.2.",
            Self::Command => "wasi:cli/run@0.2.",
        }
    }

    /// The world of a component with these exports, if it is for any.
    #[must_use]
    pub fn of_exports<'a>(exports: impl IntoIterator<Item = &'a str> + Clone) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|world| exports.clone().into_iter().any(|export| world.is_entered_by(export)))
    }

    /// Whether an export of this name is how the world is entered. Any patch of the version will do; what came before
    /// the version, such as `0.2.0-rc-2023-12-05`, was something else.
    fn is_entered_by(self, export: &str) -> bool {
        export
            .strip_prefix(self.exported())
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
    }

    /// What a component has to export to be run, for people.
    pub(crate) fn wanted() -> String {
        Self::ALL.map(|world| format!("`{}x`", world.exported())).join(" or ")
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(exports: &[&str]) -> Option<World> {
        World::of_exports(exports.iter().copied())
    }

    #[test]
    fn a_component_is_for_the_world_whose_interface_it_exports() {
        assert_eq!(of(&["saggar:task/handler@0.1.0"]), Some(World::Plugin));
        assert_eq!(of(&["wasi:http/incoming-handler@0.2.4"]), Some(World::Http));
        assert_eq!(of(&["a:b/c", "wasi:cli/run@0.2.0"]), Some(World::Command));
        assert_eq!(of(&["wasi:cli/run@0.2.12"]), Some(World::Command));
    }

    #[test]
    fn of_several_worlds_the_first_in_the_list_counts_wherever_it_stands() {
        let all = ["wasi:cli/run@0.2.0", "wasi:http/incoming-handler@0.2.0", "saggar:task/handler@0.1.7"];
        assert_eq!(of(&all), Some(World::Plugin));
        assert_eq!(of(&all[..2]), Some(World::Http));
    }

    #[test]
    fn other_versions_and_names_that_only_begin_so_are_no_world() {
        for other in [
            "",
            "wasi:cli/run",
            "wasi:cli/run@0.2.",
            "wasi:cli/run@0.2.0-rc-2023-12-05",
            "wasi:cli/run@0.3.0",
            "wasi:cli/run@0.20.0",
            "wasi:cli/runs@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:http/handler@0.3.0",
            "saggar:task/handler@0.2.0",
        ] {
            assert_eq!(of(&[other]), None, "{other}");
        }
        assert_eq!(of(&[]), None);
    }
}
