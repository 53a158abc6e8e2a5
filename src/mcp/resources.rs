//! Resources: the newest picture of each camera, and the config without its secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents};
use waywarden_components::prelude::StreamKind;

use super::answers::Unanswered;
use super::picture::WIDTHS;
use super::server::Mcp;
use crate::access::{Scope, Visitor};

/// Where the config is.
const CONFIG: &str = "waywarden://config";
/// Before and behind the name of a camera.
const FRAME: (&str, &str) = ("waywarden://cameras/", "/frame");

fn may_see_config(visitor: Option<&Visitor>) -> bool {
    visitor.is_some_and(|visitor| visitor.may(Scope::Config))
}

impl Mcp {
    /// All resources that a visitor may see. On a desk there are none.
    pub(super) fn resources(&self, visitor: Option<&Visitor>) -> Vec<Resource> {
        let Some(live) = self.live() else { return Vec::new() };
        let cameras = live.named(|kind| matches!(kind, StreamKind::Camera { .. }));
        let frame = |name: &str| {
            Resource::new(format!("{}{name}{}", FRAME.0, FRAME.1), format!("frame of {name}"))
                .with_description(format!(
                    "The newest picture of camera {name}, made no wider than {} pixels.",
                    WIDTHS.1
                ))
                .with_mime_type("image/jpeg")
        };
        let config = Resource::new(CONFIG, "config")
            .with_description("The config that the run began with, without its secrets: TOML.")
            .with_mime_type("application/toml");
        cameras.into_iter().map(frame).chain(may_see_config(visitor).then_some(config)).collect()
    }

    /// A resource.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be had now: with the reason.
    pub(super) async fn resource(&self, uri: &str, visitor: Option<&Visitor>) -> Result<ReadResourceResult, ErrorData> {
        let none = || {
            ErrorData::resource_not_found("there is no such resource: resources/list lists those that there are", None)
        };
        let live = self.live().ok_or_else(none)?;
        if uri == CONFIG && may_see_config(visitor) {
            let contents = ResourceContents::text(live.config(), CONFIG).with_mime_type("application/toml");
            return Ok(ReadResourceResult::new(vec![contents]));
        }
        let name = uri.strip_prefix(FRAME.0).and_then(|rest| rest.strip_suffix(FRAME.1)).ok_or_else(none)?;
        let cameras = live.named(|kind| matches!(kind, StreamKind::Camera { .. }));
        if !cameras.contains(&name) {
            return Err(none());
        }
        let unanswered = |Unanswered(why)| ErrorData::internal_error(why, None);
        let (fitted, _) = self.live_picture(Some(name), WIDTHS.1).await.map_err(unanswered)?;
        let contents = ResourceContents::blob(STANDARD.encode(&fitted.jpeg), uri).with_mime_type("image/jpeg");
        Ok(ReadResourceResult::new(vec![contents]))
    }
}
