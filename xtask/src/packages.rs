//! The Debian packages that the interop tests start.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::succeeds;

/// A file of each package, and the package.
const NEEDED: [(&str, &str); 22] = [
    ("/usr/lib/postfix/sbin/master", "postfix"),
    ("/usr/lib/dovecot/imap", "dovecot-imapd"),
    ("/usr/lib/dovecot/pop3", "dovecot-pop3d"),
    ("/usr/lib/dovecot/lmtp", "dovecot-lmtpd"),
    ("/usr/sbin/unbound", "unbound"),
    ("/usr/bin/swaks", "swaks"),
    ("/usr/share/doc/libnet-ssleay-perl", "libnet-ssleay-perl"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/msmtp", "msmtp"),
    ("/usr/bin/mbsync", "isync"),
    ("/usr/bin/fetchmail", "fetchmail"),
    ("/usr/bin/mutt", "mutt"),
    ("/usr/bin/mpop", "mpop"),
    ("/usr/bin/getmail", "getmail6"),
    ("/usr/bin/python3", "python3"),
    ("/usr/share/doc/python3-aiosmtpd", "python3-aiosmtpd"),
    ("/usr/bin/node", "nodejs"),
    ("/usr/share/nodejs/nodemailer", "node-nodemailer"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/setpriv", "util-linux"),
    ("/usr/bin/script", "bsdutils"),
    ("/etc/ssl/certs", "ca-certificates"),
];

/// A package that cannot be installed beside Postfix: it gets a layer over the system's files, which the tests put over
/// `/` for the peer alone. `interop/src/root.rs` knows the place, too.
struct Layer {
    /// The name of its directory.
    name: &'static str,
    package: &'static str,
    /// Packages of Debian 13 that are unpacked over it.
    newer: &'static [&'static str],
}

const LAYERED: [Layer; 2] = [
    Layer { name: "exim4-daemon-light", package: "exim4-daemon-light", newer: &[] },
    // Debian 12's own fails every TLS handshake ("missing private key": it was built for another OpenSSL).
    Layer {
        name: "opensmtpd-7",
        package: "opensmtpd",
        newer: &[
            "opensmtpd",
            "libc6",
            "libcrypt1",
            "libdb5.3t64",
            "libevent-2.1-7t64",
            "libpam0g",
            "libssl3t64",
            "libzstd1",
            "zlib1g",
        ],
    },
];

/// Where the layers are.
const LAYERS: &str = "/var/cache/postrider-interop";

/// What tells Debian's package scripts whether they may start services.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing. Says whether the interop tests can run: they cannot without root or off Debian.
pub(crate) fn prepare() -> Result<bool, String> {
    // The owner of our own /proc entry is the effective user.
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        eprintln!("xtask: not root, so the tests against Postfix, Dovecot and the others are LEFT OUT");
        return Ok(false);
    }
    let missing: Vec<_> =
        NEEDED.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    let layers: Vec<_> = LAYERED.iter().filter(|layer| !Path::new(LAYERS).join(layer.name).exists()).collect();
    if missing.is_empty() && layers.is_empty() {
        return Ok(true);
    }
    if !succeeds("apt-get", &["--version"]) {
        eprintln!("xtask: no apt-get here, so the tests against {} are LEFT OUT", missing.join(", "));
        return Ok(false);
    }
    let _no_services = NoServices::new()?;
    configure_nothing();
    apt(&["update", "-q"])?;
    if !missing.is_empty() {
        eprintln!("== packages: {}", missing.join(" "));
        let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
        install.extend(missing);
        apt(&install)?;
    }
    for layer in layers {
        eprintln!("== package, in a layer of its own: {}", layer.package);
        layer.make()?;
    }
    Ok(true)
}

impl Layer {
    /// Installs the package into a layer over `/`, in a mount namespace that ends with the command: the system itself
    /// stays as it is. The layer is memory until it is whole, since an overlay's two layers must not lie in each other.
    fn make(&self) -> Result<(), String> {
        const SCRIPT: &str = "\
            layers=$1; name=$2; package=$3; shift 3; mkdir -p \"$layers\"; cd \"$layers\"
            mount -t tmpfs layer /mnt; mkdir /mnt/up /mnt/work /mnt/root
            mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
            mount --rbind /dev /mnt/root/dev; mount -t proc proc /mnt/root/proc
            chroot /mnt/root apt-get install -y -q --no-install-recommends \"$package\"
            if [ $# -gt 0 ]; then chroot /mnt/root sh -euc \"$NEWER\" sh \"$@\"; fi
            rm -rf \"/mnt/root/var/cache/apt/archives\" \"$name.new\"
            cp -a /mnt/up \"$name.new\"; mv \"$name.new\" \"$name\"";
        // Lists of its own, since the system's are of another release.
        const NEWER: &str = "\
            mkdir -p /tmp/newer/lists/partial; cd /tmp/newer
            key=/usr/share/keyrings/debian-archive-keyring.gpg
            echo \"deb [signed-by=$key] http://deb.debian.org/debian trixie main\" >sources
            echo 'Dir::Etc::SourceList \"/tmp/newer/sources\"; Dir::Etc::SourceParts \"-\"; APT::Sandbox::User \"root\";
                Dir::State::Lists \"/tmp/newer/lists\"; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";' >apt.conf
            export APT_CONFIG=/tmp/newer/apt.conf
            apt-get update -q; apt-get download -q \"$@\"
            for package in *.deb; do dpkg-deb -x \"$package\" /; done
            cd /; rm -rf /tmp/newer";
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh", LAYERS, self.name, self.package])
            .args(self.newer)
            .env("NEWER", NEWER)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("unshare does not start: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned());
        Err(format!("{} cannot be installed into a layer ({}):\n{}", self.package, output.status, said.concat()))
    }
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|e| format!("apt-get does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {} failed ({status})", arguments.join(" "))) }
}

/// Asks Postfix's package not to set up a mail server. If that cannot be said, it sets up one that is never started.
fn configure_nothing() {
    let Ok(mut child) = Command::new("debconf-set-selections").stdin(Stdio::piped()).spawn() else { return };
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(b"postfix postfix/main_mailer_type select No configuration\n");
    }
    let _ = child.wait();
}

/// While this lives, installed packages start no services. A policy that was there before comes back.
struct NoServices {
    before: Option<PathBuf>,
}

impl NoServices {
    fn new() -> Result<Self, String> {
        let keep = PathBuf::from(format!("{POLICY}.before-xtask"));
        let before = Path::new(POLICY).exists().then_some(keep);
        if let Some(keep) = &before {
            fs::rename(POLICY, keep).map_err(|e| format!("{POLICY}: {e}"))?;
        }
        // 101: forbidden by policy.
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .map_err(|e| format!("{POLICY}: {e}"))?;
        Ok(Self { before })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let _ = match &self.before {
            Some(keep) => fs::rename(keep, POLICY),
            None => fs::remove_file(POLICY),
        };
    }
}
