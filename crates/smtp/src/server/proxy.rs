//! What trusted peers say of the client: the PROXY header before all else, and XCLIENT.

use super::{Network, Origin, Server, Stage};
use crate::outcome::no;
use crate::wire::{Claim, Proxied, ProxyPart, ReplyClass, Verb, Xclient, XclientAttribute};
use core::net::SocketAddr;
use postrider_core::{Closed, Excerpt, ProtocolError};
use postrider_sasl::Identity;

impl Server {
    /// Reads the PROXY header, and nothing after it: TLS may follow at once.
    pub(super) fn proxy(&mut self, implicit: bool) -> bool {
        match Proxied::read(self.link.input(), self.config.limits.proxy_header) {
            Ok(ProxyPart::More(more)) => {
                if self.link.is_eof() {
                    self.end(Closed::Eof);
                    return true;
                }
                self.link.hold_window(Some(more));
                false
            }
            Ok(ProxyPart::Whole(length, proxied)) => {
                self.link.advance(length);
                self.link.hold_window(None);
                self.timers.command.disarm();
                self.proxied(proxied);
                self.stage = Stage::Greeting;
                if implicit {
                    match self.link.begin_tls() {
                        Ok(()) => self.stage = Stage::Handshake { implicit: true },
                        // What came in plaintext must not be run after TLS.
                        Err(wrong) => self.end(Closed::Protocol(wrong)),
                    }
                }
                true
            }
            Err(_) => {
                // Whoever is trusted to send a header and does not is no mail client, so there is nobody to reply to.
                let what = "a trusted proxy sent no PROXY header that can be read";
                let got = Excerpt::new(self.link.input());
                self.end(Closed::Protocol(ProtocolError::Unexpected { what, got }));
                true
            }
        }
    }

    /// Takes a trusted proxy's word for where the client is.
    pub(super) fn proxied(&mut self, said: Proxied) {
        match said {
            Proxied::Local => {}
            // The proxy is trusted to say who speaks, which does not make the speaker trusted.
            Proxied::Unknown => self.may_xclient = false,
            Proxied::Tcp { source, destination } => {
                self.may_xclient = trusts(&self.config.xclient, source);
                self.origin = Origin {
                    destination: Some(destination.ip().to_canonical()),
                    destination_port: Some(destination.port()),
                    proxied: true,
                    ..Origin::of(source)
                };
            }
        }
    }

    /// Takes no more than what a PROXY header has at least, since nothing after it may be read before TLS.
    pub(super) fn await_proxy(&mut self, implicit: bool) {
        self.stage = Stage::Proxy { implicit };
        if let Ok(ProxyPart::More(least)) = Proxied::read(&[], self.config.limits.proxy_header) {
            self.link.hold_window(Some(least));
        }
    }

    /// What XCLIENT attributes this peer may use.
    pub(super) fn xclient_offer(&self) -> &[XclientAttribute] {
        if self.may_xclient { &XclientAttribute::ALL } else { &[] }
    }

    pub(super) fn xclient(&mut self, said: Xclient) {
        if !self.may_xclient {
            return self.wrong(no(550, 7, 0, "XCLIENT is not for you"));
        }
        let origin = &mut self.origin;
        origin.proxied = true;
        if let Some(name) = said.name {
            origin.name_is_unknown_for_now = name == Claim::TemporarilyUnavailable;
            origin.name = name.value();
        }
        said_of(said.addr, &mut origin.address);
        said_of(said.port, &mut origin.port);
        said_of(said.proto, &mut origin.protocol);
        said_of(said.helo, &mut origin.helo);
        said_of(said.destination_addr, &mut origin.destination);
        said_of(said.destination_port, &mut origin.destination_port);
        // Postfix: the session begins anew, with another client. TLS stays, since it is with the proxy.
        self.forget_transaction();
        self.dialogue.replied(Verb::Xclient, ReplyClass::Done);
        self.hello = None;
        self.identity = None;
        self.counts.hellos = 0;
        if let Some(Claim::Is(login)) = said.login {
            self.identity = Some(Identity::new(login.as_str()));
            self.dialogue.replied(Verb::Auth, ReplyClass::Done);
        }
        self.say_greeting();
    }
}

/// Whether a peer is among those trusted.
pub(super) fn trusts(networks: &[Network], peer: SocketAddr) -> bool {
    networks.iter().any(|network| network.contains(peer.ip()))
}

/// What is not spoken of stays as it was.
fn said_of<T>(claim: Option<Claim<T>>, slot: &mut Option<T>) {
    if let Some(claim) = claim {
        *slot = claim.value();
    }
}
