//! The hash functions, and what becomes of them if their features are off: nothing gets here, since
//! [`ServerExchange::supports`](crate::ServerExchange::supports) says no and the clients' constructors are not there.

use crate::ScramHash;
use alloc::vec::Vec;

/// Whether SCRAM is compiled in.
pub(crate) const SCRAM: bool = cfg!(feature = "scram");
/// Whether CRAM-MD5 is compiled in.
pub(crate) const CRAM_MD5: bool = cfg!(feature = "cram-md5");

#[cfg(feature = "scram")]
mod scram {
    use super::{ScramHash, Vec};
    use hmac::{Hmac, Mac};
    use sha1::Sha1;
    use sha2::{Digest, Sha256};

    /// `H(message)`.
    pub(crate) fn digest(hash: ScramHash, message: &[u8]) -> Vec<u8> {
        match hash {
            ScramHash::Sha1 => Sha1::digest(message).to_vec(),
            ScramHash::Sha256 => Sha256::digest(message).to_vec(),
        }
    }

    /// `HMAC(key, parts)`.
    pub(crate) fn hmac(hash: ScramHash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn run<M: Mac + hmac::digest::KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match hash {
            ScramHash::Sha1 => run::<Hmac<Sha1>>(key, parts),
            ScramHash::Sha256 => run::<Hmac<Sha256>>(key, parts),
        }
    }

    /// `Hi(password, salt, iterations)` (RFC 5802, 2.2), where most of the time goes.
    pub(crate) fn stretch(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut salted = alloc::vec![0; hash.size()];
        match hash {
            ScramHash::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted),
            ScramHash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
        }
        salted
    }
}

#[cfg(not(feature = "scram"))]
mod scram {
    use super::{ScramHash, Vec};

    const OFF: &str = "SCRAM is not compiled in, so nothing asks for its hashes";

    pub(crate) fn digest(_: ScramHash, _: &[u8]) -> Vec<u8> {
        unreachable!("{OFF}")
    }

    pub(crate) fn hmac(_: ScramHash, _: &[u8], _: &[&[u8]]) -> Vec<u8> {
        unreachable!("{OFF}")
    }
}

#[cfg(feature = "scram")]
pub(crate) use scram::stretch;
pub(crate) use scram::{digest, hmac};

/// `HMAC-MD5(key, message)` (RFC 2195).
#[cfg(feature = "cram-md5")]
pub(crate) fn hmac_md5(key: &[u8], message: &[u8]) -> [u8; 16] {
    use hmac::{Hmac, Mac};
    let mut mac = <Hmac<md5::Md5> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(not(feature = "cram-md5"))]
pub(crate) fn hmac_md5(_: &[u8], _: &[u8]) -> [u8; 16] {
    unreachable!("CRAM-MD5 is not compiled in, so nothing asks for its hash")
}
