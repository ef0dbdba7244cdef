//! Against rsasl, in both roles, with every mechanism that it has.

use super::converse::{App, MECHANISMS, PASSWORD, TOKEN, USER, mechanism};
use postrider_sasl::{Attempt, Channel, Mechanism, MechanismName, ServerExchange, ServerStep};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::anonymous::AnonymousToken;
use rsasl::mechanisms::oauthbearer::properties::OAuthBearerValidate;
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechanisms::xoauth2::properties::XOAuth2Validate;
use rsasl::prelude::*;
use rsasl::property::*;
use rsasl::validate::{Validate, Validation, ValidationError};

/// One user, from either side.
struct Peer {
    /// Salt and keys for the two hashes.
    stored: [(Vec<u8>, Vec<u8>, Vec<u8>); 2],
}

struct Who;

impl Validation for Who {
    type Value = bool;
}

impl Peer {
    fn new() -> Self {
        let app = App::new();
        let parts = |text: &str| {
            use base64::Engine as _;
            let octets = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            let parts: Vec<&str> = text.split(['$', ':']).collect();
            (octets(parts[2]), octets(parts[3]), octets(parts[4]))
        };
        Self { stored: [parts(app.sha1.to_text().reveal()), parts(app.sha256.to_text().reveal())] }
    }
}

impl SessionCallback for Peer {
    fn callback(&self, session: &SessionData, context: &Context, request: &mut Request) -> Result<(), SessionError> {
        let name = session.mechanism().mechanism.as_str();
        if context.get_ref::<AuthId>() == Some(USER) {
            let (salt, stored_key, server_key) = &self.stored[usize::from(name.contains("256"))];
            request.satisfy::<ScramStoredPassword>(&ScramStoredPassword::new(4096, salt, stored_key, server_key))?;
        }
        request.satisfy::<OAuthBearerValidate>(&Ok(()))?;
        request.satisfy::<XOAuth2Validate>(&Ok(()))?;
        request.satisfy::<AuthId>(USER)?;
        request.satisfy::<Password>(PASSWORD.as_bytes())?;
        request.satisfy::<OAuthBearerToken>(TOKEN)?;
        request.satisfy::<AnonymousToken>("trace")?;
        if matches!(name, "EXTERNAL" | "OAUTHBEARER") {
            request.satisfy::<AuthzId>(USER)?;
        }
        Ok(())
    }

    fn validate(
        &self,
        session: &SessionData,
        context: &Context,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let name = session.mechanism().mechanism.as_str();
        let right = match name {
            "PLAIN" | "LOGIN" => {
                context.get_ref::<AuthId>() == Some(USER) && context.get_ref::<Password>() == Some(PASSWORD.as_bytes())
            }
            "XOAUTH2" => {
                context.get_ref::<AuthId>() == Some(USER) && context.get_ref::<OAuthBearerToken>() == Some(TOKEN)
            }
            "OAUTHBEARER" => {
                // It hands out the whole field.
                let token = context.get_ref::<OAuthBearerToken>().and_then(|field| field.strip_prefix("Bearer "));
                context.get_ref::<AuthzId>() == Some(USER) && token == Some(TOKEN)
            }
            "EXTERNAL" => context.get_ref::<AuthzId>() == Some(USER),
            "ANONYMOUS" => context.get_ref::<AnonymousToken>() == Some("trace"),
            _ => name.starts_with("SCRAM-") && context.get_ref::<AuthId>() == Some(USER),
        };
        validate.with::<Who, _>(|| Ok(right)).map(|_| ())
    }
}

fn config() -> std::sync::Arc<SASLConfig> {
    SASLConfig::builder().with_defaults().with_callback(Peer::new()).unwrap()
}

fn mechname(name: &MechanismName) -> &Mechname {
    Mechname::parse(name.as_str().as_bytes()).unwrap()
}

fn their_server(ours: &mut dyn Mechanism) -> bool {
    let server = SASLServer::<Who>::new(config());
    let mut theirs = server.start_suggested(mechname(&ours.name())).expect("rsasl has it");
    let mut response = ours.initial().map(|message| message.into_inner());
    if response.is_none() && !theirs.are_we_first() {
        panic!("{}: nobody begins", ours.name());
    }
    for _ in 0..5 {
        let mut out = Vec::new();
        let state = theirs.step(response.as_deref(), &mut out).expect("rsasl goes on");
        match state {
            State::Running => response = Some(ours.respond(&out).expect("we go on").into_inner()),
            State::Finished(sent) => {
                if matches!(sent, MessageSent::Yes) && !out.is_empty() {
                    assert!(ours.respond(&out).expect("we take the last word").reveal().is_empty());
                }
                return ours.succeeded().is_ok() && theirs.validation() == Some(true);
            }
        }
    }
    panic!("the login does not end")
}

fn their_client(name: &MechanismName, channel: &Channel) -> Option<Attempt> {
    let app = App::new();
    let client = SASLClient::new(config());
    let mut theirs = client.start_suggested(&[mechname(name)]).expect("rsasl has it");
    let mut initial = None;
    if theirs.are_we_first() {
        let mut out = Vec::new();
        let _ = theirs.step(None, &mut out).expect("rsasl begins");
        initial = Some(out);
    }
    let mut step = ServerExchange::start(name, initial.as_deref(), channel);
    for _ in 0..5 {
        match step.and_then(|step| app.supply(step)).expect("we go on") {
            ServerStep::Attempt(attempt) => return app.judge(&attempt).then_some(attempt),
            ServerStep::Challenge(challenge, exchange) => {
                let mut out = Vec::new();
                let _ = theirs.step(Some(&challenge), &mut out).expect("rsasl goes on");
                step = exchange.respond(&out);
            }
            ServerStep::Scram(_) | ServerStep::Cram(_) => unreachable!("it was supplied"),
        }
    }
    panic!("the login does not end")
}

/// CRAM-MD5 it has not, and it lets nobody outside give it anything to bind to.
fn has(name: &MechanismName) -> bool {
    *name != MechanismName::CramMd5 && !name.binds_channel()
}

#[test]
fn our_client_and_their_server_agree() {
    for which in 0..MECHANISMS {
        let (mut ours, _) = mechanism(which);
        if has(&ours.name()) {
            assert!(their_server(&mut *ours), "{}", ours.name());
        }
    }
}

#[test]
fn their_client_and_our_server_agree() {
    for which in 0..MECHANISMS {
        let (ours, channel) = mechanism(which);
        if has(&ours.name()) {
            let attempt = their_client(&ours.name(), &channel);
            assert!(attempt.is_some(), "{}: {attempt:?}", ours.name());
        }
    }
}
