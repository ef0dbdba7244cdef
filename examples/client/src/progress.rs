//! Progress of what takes long, on a terminal only.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts octets. Hidden where standard error is no terminal, or if `hidden`.
pub(crate) fn octets(what: &'static str, total: u64, hidden: bool) -> ProgressBar {
    let show = !hidden && std::io::stderr().is_terminal();
    let target = if show { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let style = style.expect("our own template is well formed");
    ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what)
}
