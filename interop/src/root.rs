//! Peers that cannot be installed beside each other: each sees the system's files with its own package on top.
//!
//! Debian takes Exim and OpenSMTPD for substitutes of Postfix and removes one for the other. So each is installed once
//! into a layer (`xtask/src/packages.rs`), and started in a mount namespace of its own where a copy of that layer lies
//! over `/`. What it writes outside of its [`Place`] is memory, and gone with it.

use std::path::Path;

use crate::{Place, Process};

/// Where the layers are.
const LAYERS: &str = "/var/cache/postrider-interop";

/// Runs the command in `$2` that follows, with the layer `$1` over `/` and the place `$2` where it is.
const SCRIPT: &str = "\
    layer=$1; place=$2; shift 2
    mount -t tmpfs root /mnt; mkdir /mnt/work /mnt/root; cp -a \"$layer\" /mnt/up
    mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
    mount --rbind /dev /mnt/root/dev; mount -t proc proc /mnt/root/proc
    mkdir -p \"/mnt/root$place\"; mount --bind \"$place\" \"/mnt/root$place\"
    exec chroot /mnt/root \"$@\"";

/// Starts a command of a layered package.
///
/// # Panics
/// When the package's layer is not there, or the command does not start.
#[track_caller]
pub(crate) fn start(name: &str, package: &str, place: &Place, command: &[&str]) -> Process {
    let layer = Path::new(LAYERS).join(package);
    assert!(layer.exists(), "{} is not there: `cargo xtask interop` makes it", layer.display());
    Process::start(name, place.dir(), "unshare", |unshare| {
        unshare.args(["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh"]);
        unshare.arg(layer).arg(place.dir()).args(command);
    })
}
