//! The server's half.

use super::message::{Attributes, is_nonce, read_base64, read_name, write_base64};
use super::{MAX_MESSAGE, MAX_NONCE, Nonce, ScramCredentials, ScramHash};
use crate::prepare::saslprep_query;
use crate::server::State;
use crate::{Attempt, BindingType, Channel, ExchangeError, ServerExchange, ServerStep};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use postrider_core::Secret;

/// A client-first-message is next.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) hash: ScramHash,
    pub(crate) plus: bool,
    pub(crate) channel: Channel,
}

/// What the application must look up before SCRAM can go on.
#[derive(Debug)]
pub struct ScramQuery(Box<Claim>);

#[derive(Debug)]
struct Claim {
    hash: ScramHash,
    plus: bool,
    user: String,
    authorization: Option<String>,
    /// What the client must repeat in `c=`: its GS2 header, and the channel's data if that binds.
    binding: Secret<Vec<u8>>,
    client_first_bare: String,
    client_nonce: String,
}

/// What the application knows of the user that a [`ScramQuery`] asks about.
#[derive(Clone, Debug)]
pub struct ScramAnswer {
    /// What is kept of the user's password, or [`ScramCredentials::for_nobody`] if there is no such user.
    pub credentials: ScramCredentials,
    /// A nonce never used before.
    pub nonce: Nonce,
}

/// A client-final-message is next.
#[derive(Debug)]
pub(crate) struct Final {
    claim: Box<Claim>,
    credentials: ScramCredentials,
    nonce: String,
    server_first: String,
}

/// The client has heard the server's proof, and confirms with nothing.
#[derive(Debug)]
pub(crate) struct Verified(Attempt);

const fn malformed(what: &'static str) -> ExchangeError {
    ExchangeError::Malformed(what)
}

fn text(message: &[u8]) -> Result<&str, ExchangeError> {
    if message.len() > MAX_MESSAGE {
        return Err(malformed("a SCRAM message is too long"));
    }
    core::str::from_utf8(message).map_err(|_| malformed("a SCRAM message is UTF-8"))
}

impl First {
    pub(crate) fn respond(self, message: &[u8]) -> Result<ServerStep, ExchangeError> {
        let message = text(message)?;
        let mut parts = Attributes::new(message);
        let flag = parts.part().unwrap_or_default();
        let bound = self.bound(flag)?;
        let authorization = match parts.part() {
            Some("") => None,
            Some(part) => {
                let name = part.strip_prefix("a=").and_then(read_name);
                Some(name.ok_or(malformed("expected a=authorization identity, or nothing"))?)
            }
            None => return Err(malformed("the GS2 header is incomplete")),
        };
        let client_first_bare = parts.rest();
        let header = &message[..message.len() - client_first_bare.len()];
        let mut binding = header.as_bytes().to_vec();
        binding.extend_from_slice(bound);
        let user = parts.value('n').and_then(read_name);
        let user = user.ok_or(malformed("expected n=user, and no extension that is mandatory"))?;
        //= 5802-5.1-3, 5802-5.1-4
        let user = saslprep_query(&user).map_err(|_| malformed("the user name has characters it may not have"))?;
        let nonce = parts.value('r').filter(|nonce| is_nonce(nonce, MAX_NONCE));
        let client_nonce = nonce.ok_or(malformed("expected r=nonce of printable ASCII"))?;
        if !parts.ends() {
            return Err(malformed("after the nonce, only extensions may follow that are not mandatory"));
        }
        if user.is_empty() {
            return Err(malformed("the user name is empty"));
        }
        Ok(ServerStep::Scram(ScramQuery(Box::new(Claim {
            hash: self.hash,
            plus: self.plus,
            user: user.into_owned(),
            authorization,
            binding: Secret::new(binding),
            client_first_bare: client_first_bare.into(),
            client_nonce: client_nonce.into(),
        }))))
    }

    /// What the channel binding flag binds to (RFC 5802, 6).
    //= 5802-5-1, 5802-6-5, 5802-6-6, 5802-6.1-2
    fn bound(&self, flag: &str) -> Result<&[u8], ExchangeError> {
        match flag {
            "n" | "y" if self.plus => Err(malformed("the mechanism wants channel binding")),
            "n" => Ok(&[]),
            // The client could bind and did not see that we offer it: somebody took -PLUS out of the list.
            "y" if self.channel.can_bind() && self.channel.offers_binding() => {
                Err(ExchangeError::Refused("the client was kept from seeing that channel binding is offered"))
            }
            "y" => Ok(&[]),
            _ => {
                let name = flag.strip_prefix("p=").ok_or(malformed("expected n, y or p=type"))?;
                if !self.plus {
                    return Err(malformed("channel binding wants the mechanism with -PLUS"));
                }
                let kind = BindingType::parse(name);
                let data = kind.and_then(|kind| self.channel.data(kind));
                data.ok_or(ExchangeError::Refused("this type of channel binding is not supported here"))
            }
        }
    }
}

impl ScramQuery {
    /// Who the client claims to be, prepared with SASLprep. Not empty, no NUL.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The hash function that the credentials must be for.
    pub fn hash(&self) -> ScramHash {
        self.0.hash
    }

    /// Goes on with what is known of the user.
    ///
    /// # Errors
    /// [`ExchangeError::WrongHash`] if the credentials are for another hash function.
    //= 5802-5.1-9
    pub fn answer(self, answer: ScramAnswer) -> Result<ServerStep, ExchangeError> {
        let ScramAnswer { credentials, nonce } = answer;
        let claim = self.0;
        if credentials.hash() != claim.hash {
            return Err(ExchangeError::WrongHash);
        }
        let nonce = format!("{}{}", claim.client_nonce, nonce.as_str());
        let salt = write_base64(credentials.salt());
        let server_first = format!("r={nonce},s={salt},i={}", credentials.iterations());
        let challenge = server_first.clone().into_bytes();
        let state = State::ScramFinal(Final { claim, credentials, nonce, server_first });
        Ok(ServerStep::Challenge(challenge, ServerExchange::new(state)))
    }
}

impl Final {
    //= 5802-5.1-8, 5802-6-7
    pub(crate) fn respond(self, message: &[u8]) -> Result<ServerStep, ExchangeError> {
        let message = text(message)?;
        let Self { claim, credentials, nonce, server_first } = self;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(malformed("expected a proof at the end"))?;
        let proof = read_base64(proof).ok_or(malformed("the proof is not base64"))?;
        let mut parts = Attributes::new(without_proof);
        let binding = parts.value('c').and_then(read_base64);
        let binding = binding.ok_or(malformed("expected c=channel binding in base64"))?;
        let theirs = parts.value('r').ok_or(malformed("expected r=nonce"))?;
        if !parts.ends() {
            return Err(malformed("between nonce and proof, only extensions may stand that are not mandatory"));
        }
        if !claim.binding.matches(&binding) {
            return Err(ExchangeError::Refused("the client saw another channel than the server"));
        }
        if theirs != nonce {
            return Err(ExchangeError::Refused("the nonce is not this exchange's"));
        }
        let auth_message = format!("{},{server_first},{without_proof}", claim.client_first_bare);
        if !credentials.proves(auth_message.as_bytes(), &proof) {
            return Err(ExchangeError::Refused("the proof is wrong"));
        }
        let server_final = format!("v={}", write_base64(&credentials.signature(auth_message.as_bytes())));
        let attempt = Attempt::Proven {
            authorization: claim.authorization,
            user: claim.user,
            mechanism: claim.hash.mechanism(claim.plus),
        };
        let state = State::ScramVerified(Verified(attempt));
        Ok(ServerStep::Challenge(server_final.into_bytes(), ServerExchange::new(state)))
    }
}

impl Verified {
    pub(crate) fn respond(self, message: &[u8]) -> Result<ServerStep, ExchangeError> {
        if !message.is_empty() {
            return Err(malformed("nothing is left to say"));
        }
        Ok(ServerStep::Attempt(self.0))
    }
}
