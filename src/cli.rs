//! temp
pub mod check;
pub mod demo;
pub mod lab;
pub mod run;
#[derive(Clone, Copy, Debug)]
pub enum ExitCode {
    Success = 0,
    Failure = 1,
    Internal = 70,
    Config = 78,
}
pub fn complain(s: &str) {
    eprintln!("{s}");
}
