//! The commands, one file for each group of them.

pub mod apply;
pub mod bench;
pub mod completions;
pub mod conformance;
pub mod dead;
pub mod dead_letter;
pub mod dev;
pub mod doctor;
pub mod host;
pub mod hosts;
pub mod plugin;
pub mod queue;
pub mod queue_control;
pub mod run;
pub mod schedule;
pub mod task;
pub mod task_cancel;
pub mod task_list;
pub mod task_logs;
pub mod task_submit;
pub mod tenant;
pub mod test;
