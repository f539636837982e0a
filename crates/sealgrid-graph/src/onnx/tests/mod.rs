mod archive;
mod build;

mod bad_input;
mod exports;
mod folding;
mod learned;
mod node_suite;
mod pytorch;
mod shipped;
