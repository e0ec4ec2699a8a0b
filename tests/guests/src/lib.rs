//! Small programs for the tests: each behaves in one way, well or badly.
//!
//! Every other file of this folder is a component of its own, built as an example of this package.
