//! Tests of the journal through its public API: what both stores promise, then what each meets by itself.

mod contract;
mod crash;
mod damage;
mod embedded;
mod property;
mod records;
mod redis;
mod support;
