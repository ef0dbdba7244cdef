//! Does one piece of work so often that valgrind can count its instructions: `cargo xtask bench --count`.
//!
//! `count` alone lists the work, a line each: number of the group and in it, items in one run, unit, group, who.
//! `count GROUP NUMBER TIMES` does it.

mod work;

use std::hint::black_box;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let groups = [&work::smtp::GROUPS[..], &work::pop3::GROUPS].concat();
    match arguments[..] {
        [] => {
            for (group, works) in groups.iter().enumerate() {
                for (number, work) in works().iter().enumerate() {
                    let (amount, unit) = work.unit();
                    println!("{group}\t{number}\t{amount}\t{unit}\t{}\t{}", work.group, work.who);
                }
            }
            ExitCode::SUCCESS
        }
        [group, number, times] if group < groups.len() => {
            let works = groups[group]();
            (0..times).for_each(|_| {
                black_box((works[number].run)());
            });
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("count [GROUP NUMBER TIMES]");
            ExitCode::from(64)
        }
    }
}
