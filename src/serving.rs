//! What a live run lets others see and do over HTTP: one server, whose routes are put together here.

use std::path::{Path, PathBuf};

use waywarden_components::prelude::*;
use waywarden_systems::ingress::Control;
use waywarden_systems::scene::Showing;

use crate::access::Access;
use crate::archive::Archive;
use crate::config::Config;
use crate::failure::Failure;
use crate::http::Server;
use crate::mcp::{self, Acting, Library, Mcp};
use crate::metrics::Observed;
use crate::network::Network;
use crate::orders::Orders;
use crate::{access, foxglove_live, orders, page, status, uplink};

/// What a run lets others see, and how they reach it.
pub struct Shown<'a> {
    /// By this it is told what it is asked.
    pub control: &'a Control,
    /// What is seen of it.
    pub showing: &'a Showing,
    /// What was recorded.
    pub archive: Archive,
    /// Who may ask.
    pub access: Access,
    /// The random name of this run.
    pub run: String,
    /// Where it is recorded, if it is.
    pub session: Option<PathBuf>,
    /// Routes of operators.
    pub more: axum::Router,
}

/// Lets whoever has a token see this run and give it commands, and whoever looks after it ask how it is. What becomes of that is
/// told to the world.
///
/// # Errors
/// When the certificate or an address cannot be used.
pub fn listen(config: &Config, observed: Observed, network: &Network, shown: Shown<'_>) -> Result<(), Failure> {
    let Shown { control, showing, archive, access, run, session, more } = shown;
    let server = Server::new(&config.http, access.clone())?.open(page::paths()).tickets([foxglove_live::PATH]);
    let observed = Observed { connections: server.connections.clone(), ..observed };
    let vehicle = uplink::vehicle(&config.mqtt);
    let about = page::about(&vehicle, &run);
    let orders = Orders::new(control.clone(), showing.clone());
    let mut routes = status::routes(observed)
        .merge(access::routes(access.clone(), about))
        .merge(orders::routes(orders.clone()))
        .merge(page::routes(showing.clone(), archive))
        .merge(foxglove_live::routes(showing.clone(), access.clone(), &config.streams(), &vehicle))
        .merge(more);
    if config.mcp.enabled {
        routes =
            routes.merge(mcp::routes(agents(config, orders, (control, showing), session.as_deref()), &config.http));
    }
    let control = control.clone();
    let say = move |level, text| {
        // One that is lost for want of room is in the log.
        let _ = control.say(Payload::Notice(Notice { level, source: "http".to_owned(), text }));
    };
    server.start(routes, network, say)?;
    Ok(())
}

/// What agents may ask of this run and of the sessions beside its own, and do, if the config lets them.
fn agents(config: &Config, orders: Orders, (control, showing): (&Control, &Showing), session: Option<&Path>) -> Mcp {
    let name = session.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let folder = session.and_then(Path::parent);
    let library = folder.map(|folder| Library::new(folder.to_owned(), name.clone()));
    let acting = config.mcp.act.then(|| Acting::new(orders, control.clone()));
    Mcp::new(Some(mcp::Live::new(showing.clone(), config, name)), library, acting)
}
