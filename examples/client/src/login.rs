//! Which mechanism to log in with: the strongest that the server offers.

use postrider_core::{Secret, Security};
use postrider_io::rustls::crypto::ring;
use postrider_sasl::{Credentials, Mechanism, MechanismName, NoMechanism, Nonce};

/// The mechanism to log in with. Whether a password may be sent without TLS is for the session to say, which refuses it
/// unless that was asked for.
pub fn strongest(
    user: &str,
    password: &Secret<String>,
    offered: &[MechanismName],
    security: &Security,
) -> Result<Box<dyn Mechanism>, NoMechanism> {
    let mut random = [0; 18];
    let generator = ring::default_provider().secure_random;
    generator.fill(&mut random).expect("the system has random numbers");
    let credentials = Credentials::password(user, password.clone());
    credentials.dangerous_strongest_in_plaintext(offered, security, Nonce::new(random))
}
