//! Says where mail for a domain would go, and why: `cargo run -p postrider-mta --features tokio --example route -- DOMAIN`
//!
//! Asks the resolvers of `/etc/resolv.conf`; sends nothing.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::sync::Arc;

use postrider_mta::dns::ResolverConfig;
use postrider_mta::tokio::Dns;
use postrider_mta::{Destination, RetrySchedule, Routing, Seed};
use postrider_smtp::Host;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).ok_or("which domain?")?;
    let to = Destination::of_host(&Host::parse(&argument)?)?;

    let mut seed: Seed = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let config = ResolverConfig::from_resolv_conf(&fs::read_to_string("/etc/resolv.conf")?);
    let dns = Dns::start(config, seed);

    match dns.route(&to, Arc::new(Routing::default()), seed).await {
        Ok(route) => {
            println!("{to}: {}", route.by);
            for exchange in &route.exchanges {
                let name = exchange.name.as_ref().map(ToString::to_string).unwrap_or_default();
                println!("  {:>5} {name} {:?}", exchange.preference, exchange.addresses);
            }
            for note in &route.notes {
                println!("  note: {note}");
            }
            let schedule = RetrySchedule::default();
            let minutes = |attempts| schedule.wait(attempts, 0).as_secs() / 60;
            println!("  if it fails for now: again after {}, {}, {} minutes ...", minutes(1), minutes(2), minutes(3));
        }
        Err(why) => {
            let kind = if why.is_permanent() { "fails" } else { "waits" };
            println!("{to}: mail {kind}: {} {}", why.status(), why.reason());
        }
    }
    Ok(())
}
