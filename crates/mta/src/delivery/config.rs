//! How deliveries behave.

use alloc::sync::Arc;
use core::time::Duration;

use crate::{Reason, Relay, RetrySchedule, Route, Routing, TlsRequirement};

/// How messages are delivered. Shared by all deliveries that go the same way.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeliveryConfig {
    /// How hosts are found.
    pub routing: Arc<Routing>,
    /// When to try again.
    pub schedule: RetrySchedule,
    /// After how long the sender is told of a delay, once. Default 4 hours; `None` for never.
    pub delay_notice: Option<Duration>,
    /// Recipients in one transaction. Default 100, which every server must take (RFC 5321, 4.5.3.1.8). At least 1.
    pub recipients: usize,
    /// The port of hosts found in the DNS. Default 25.
    pub port: u16,
    /// How connections to hosts found in the DNS are protected. Default opportunistic.
    pub tls: TlsRequirement,
    /// Whether the message was sent with REQUIRETLS (RFC 8689, 4.2.1). It then goes to no host without it, and to none
    /// whose certificate is not valid, whatever `tls` says; nor to exchanges that DNSSEC does not vouch for
    /// ([`Route::authentic`](crate::Route)). A host that cannot be used so is passed over for the next; if there is
    /// none, the message fails. Default false.
    pub require_tls: bool,
    /// Where everything goes instead of where the DNS says. Default `None`.
    pub relay: Option<Relay>,
    /// How long DNS questions may stay open before they count as failed. Default 2 minutes.
    pub resolve_wait: Duration,
    /// How long an attempt may stay open before its outcome counts as unknown. Default 6 hours: longer than the sum
    /// of RFC 5321, 4.5.3.2 for a large message, since the transport has its own timeouts.
    pub attempt_wait: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            routing: Arc::new(Routing::default()),
            schedule: RetrySchedule::default(),
            delay_notice: Some(Duration::from_secs(4 * 3600)),
            recipients: 100,
            port: 25,
            tls: TlsRequirement::Opportunistic,
            require_tls: false,
            relay: None,
            resolve_wait: Duration::from_secs(120),
            attempt_wait: Duration::from_secs(6 * 3600),
        }
    }
}

impl DeliveryConfig {
    /// How connections on this route are protected.
    pub(super) fn protection(&self, route: &Route) -> TlsRequirement {
        match self.relay.as_ref().filter(|_| route.by == Reason::ConfiguredRelay) {
            _ if self.require_tls => TlsRequirement::Required,
            Some(relay) => relay.tls,
            None => self.tls,
        }
    }
}
