//! The `tls-server-end-point` channel binding (RFC 5929, 4): the hash of the server's certificate.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The hash of a certificate, by the hash function of its own signature; SHA-256 in place of MD5 and SHA-1.
///
/// `None` if the certificate is none, or its signature has no such function (Ed25519), for which RFC 5929 says nothing.
pub(crate) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature } (RFC 5280, 4.1)
    let (SEQUENCE, inner, _) = element(certificate)? else { return None };
    let (SEQUENCE, _, rest) = element(inner)? else { return None };
    let (SEQUENCE, algorithm, _) = element(rest)? else { return None };
    let (OBJECT_IDENTIFIER, signature, parameters) = element(algorithm)? else { return None };
    let hash = match signature {
        RSA_PSS => pss_hash(parameters)?,
        _ => SIGNATURES.iter().find(|(identifier, _)| *identifier == signature)?.1,
    };
    Some(match hash {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Old | Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy)]
enum Hash {
    /// MD5 and SHA-1.
    Old,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

const RSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

/// What signatures are called whose name says the hash: RSA (RFC 8017) and ECDSA (RFC 5758).
const SIGNATURES: [(&[u8], Hash); 11] = [
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", Hash::Old),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", Hash::Old),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e", Hash::Sha224),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", Hash::Sha256),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", Hash::Sha384),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", Hash::Sha512),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", Hash::Old),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x01", Hash::Sha224),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", Hash::Sha256),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", Hash::Sha384),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", Hash::Sha512),
];

/// The hash function in the parameters of RSASSA-PSS: `[0] hashAlgorithm DEFAULT sha1` (RFC 4055, 3.1).
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (SEQUENCE, inner, _) = element(parameters)? else { return None };
    let Some((0xa0, algorithm, _)) = element(inner) else { return Some(Hash::Old) };
    let (SEQUENCE, algorithm, _) = element(algorithm)? else { return None };
    match element(algorithm)? {
        (OBJECT_IDENTIFIER, b"\x2b\x0e\x03\x02\x1a", _) => Some(Hash::Old),
        (OBJECT_IDENTIFIER, b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", _) => Some(Hash::Sha256),
        (OBJECT_IDENTIFIER, b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", _) => Some(Hash::Sha384),
        (OBJECT_IDENTIFIER, b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", _) => Some(Hash::Sha512),
        (OBJECT_IDENTIFIER, b"\x60\x86\x48\x01\x65\x03\x04\x02\x04", _) => Some(Hash::Sha224),
        _ => None,
    }
}

/// Takes one element of DER: its tag, its contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // No certificate is longer than four octets of length can say.
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (octets.iter().fold(0, |length, &octet| (length << 8) | usize::from(octet)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_signature_says_the_hash() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&der), Some(Sha256::digest(&der).to_vec()));
        let der = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&der), Some(Sha384::digest(&der).to_vec()));
        assert_eq!(end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    /// A certificate that is all shell: of these two parts, only the second is looked at.
    fn shell(algorithm: &[u8]) -> Vec<u8> {
        let length = |octets: &[u8]| u8::try_from(octets.len()).unwrap();
        let mut inner = vec![SEQUENCE, 0, SEQUENCE, length(algorithm)];
        inner.extend_from_slice(algorithm);
        let mut der = vec![SEQUENCE, length(&inner)];
        der.append(&mut inner);
        der
    }

    #[test]
    fn old_hashes_are_replaced_and_pss_has_its_own_parameters() {
        let sha1 = shell(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00");
        assert_eq!(end_point(&sha1), Some(Sha256::digest(&sha1).to_vec()));
        let sha512 = shell(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00");
        assert_eq!(end_point(&sha512), Some(Sha512::digest(&sha512).to_vec()));
        let pss = shell(
            b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x0f\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02",
        );
        assert_eq!(end_point(&pss), Some(Sha384::digest(&pss).to_vec()));
        let default = shell(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00");
        assert_eq!(end_point(&default), Some(Sha256::digest(&default).to_vec()));
    }

    #[test]
    fn what_is_no_certificate_has_no_end_point() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for length in 0..40 {
            assert_eq!(end_point(&der[..length]), None);
        }
        for junk in [&b"\x30\x80"[..], b"\x30\x84\xff\xff\xff\xff", b"\x30\x88", b"\x06\x00", b"\x30\x02\x30\x00"] {
            assert_eq!(end_point(junk), None, "{junk:?}");
        }
    }
}
