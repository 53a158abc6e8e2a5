//! The operator's page: what the vehicle sees and does, in a browser, and what is asked for it.
//!
//! The page itself is compiled in and holds nothing, so nobody needs a token for it. What it shows is asked for with one: the
//! newest scene of the run, which is made while somebody watches, its pictures, what has happened, and what was recorded.

use axum::Router;
use serde_json::{Value, json};
use waywarden_systems::scene::Showing;

use crate::access::{self, Scope};
use crate::archive::Archive;

mod assets;
mod feed;
mod pictures;
mod recorded;

pub use assets::paths;

/// The page, and what it asks for.
pub fn routes(showing: Showing, archive: Archive) -> Router {
    let behind_a_token = Router::new()
        .merge(feed::routes(showing.clone()))
        .merge(pictures::routes(showing))
        .merge(recorded::routes(archive))
        .route_layer(access::needs(Scope::View));
    assets::routes().merge(behind_a_token)
}

/// What a page is told when its session begins: whose page it is.
pub fn about(vehicle: &str, run: &str) -> Value {
    json!({ "vehicle": vehicle, "run": run })
}
