//! What an agent may do where the config lets it: commands that go the way of all others, by Ingress, so that they are
//! journalled with the name of who gave them, and replayed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use waywarden_components::prelude::*;
use waywarden_systems::clock::boottime;
use waywarden_systems::ingress::Control;

use super::answers::Unanswered;
use crate::access::{Scope, Visitor};
use crate::orders::{Orders, Reply};

/// So many commands in so long, of all agents together.
const MOST: (usize, Duration) = (10, Duration::from_secs(60));

/// Where an agent's commands go. Cheap to clone.
#[derive(Clone)]
pub struct Acting {
    orders: Orders,
    control: Control,
    given: Arc<Mutex<VecDeque<Mono>>>,
}

/// What is to be kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToPreserve {
    /// Seconds before and after now, 1 to 3600; those of the config if nothing is said.
    #[schemars(range(min = 1, max = 3600))]
    pub around_s: Option<u32>,
}

/// What is to be restarted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToRestart {
    /// The name of the device, as `health` lists it.
    pub device: String,
}

/// How privacy is to be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToSwitch {
    /// Whether privacy is to be on.
    pub on: bool,
}

impl From<ToPreserve> for Map<String, Value> {
    fn from(wish: ToPreserve) -> Self {
        wish.around_s.map(|around_s| ("around_s".to_owned(), json!(around_s))).into_iter().collect()
    }
}

impl From<ToRestart> for Map<String, Value> {
    fn from(wish: ToRestart) -> Self {
        Self::from_iter([("device".to_owned(), json!(wish.device))])
    }
}

impl From<ToSwitch> for Map<String, Value> {
    fn from(wish: ToSwitch) -> Self {
        Self::from_iter([("value".to_owned(), json!(if wish.on { "on" } else { "off" }))])
    }
}

impl Acting {
    /// Commands are given there; that they were is told to the session by `control`.
    pub fn new(orders: Orders, control: Control) -> Self {
        Self { orders, control, given: Arc::default() }
    }

    /// Whether somebody may give commands.
    pub fn lets(visitor: Option<&Visitor>) -> bool {
        visitor.is_some_and(|visitor| visitor.may(Scope::Command))
    }

    /// Gives a command in the name of `visitor`, and waits for what comes of it.
    ///
    /// # Errors
    /// When they may not, have given too many, or nothing was done: with the reason.
    pub async fn give(
        &self,
        name: &'static str,
        fields: Map<String, Value>,
        visitor: Option<&Visitor>,
    ) -> Result<Reply, Unanswered> {
        let visitor = visitor.filter(|visitor| visitor.may(Scope::Command));
        let visitor =
            visitor.ok_or_else(|| Unanswered::because("this token does not allow commands: scope command"))?;
        if !self.admit(boottime()) {
            let why = format!("agents have given {} commands in {} s: wait a minute", MOST.0, MOST.1.as_secs());
            return Err(Unanswered(why));
        }
        let text = format!("an agent, {}, asks for {name}", visitor.name);
        // One that is lost for want of room is in the log, and the command itself is journalled in any case.
        let _ = self.control.say(Payload::Notice(Notice { level: NoticeLevel::Info, source: "mcp".to_owned(), text }));
        let reply = self.orders.ask(name, fields, visitor).await.map_err(|error| Unanswered(error.to_string()))?;
        if reply.is_done() || reply.is_under_way() {
            return Ok(reply);
        }
        Err(Unanswered(format!("{name} {}: {}", reply.status, reply.reason)))
    }

    fn admit(&self, now: Mono) -> bool {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while given.front().is_some_and(|first| now.since(*first) >= MOST.1) {
            given.pop_front();
        }
        if given.len() >= MOST.0 {
            return false;
        }
        given.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use waywarden_systems::scene::Showing;

    use super::*;

    fn acting() -> Acting {
        let control = Control::default();
        Acting::new(Orders::new(control.clone(), Showing::new(BTreeMap::new())), control)
    }

    #[test]
    fn only_so_many_commands_are_given_in_a_minute() {
        let acting = acting();
        let at = |seconds: f64| acting.admit(Mono::from_secs_f64(seconds));
        assert!((0..MOST.0).all(|n| at(1.0 + n as f64)));
        assert!(!at(12.0) && !at(60.9));
        assert!(at(61.0) && !at(61.5) && at(62.0));
    }

    #[tokio::test]
    async fn whoever_may_not_give_commands_gives_none() {
        let acting = acting();
        let agent = Visitor { name: "agent".to_owned(), scopes: [Scope::Mcp, Scope::View].into(), issue: 1 };
        for visitor in [None, Some(&agent)] {
            let why = acting.give("privacy", Map::new(), visitor).await.unwrap_err();
            assert!(why.0.contains("scope command"), "{why:?}");
        }
        // Nobody was kept from giving one later.
        assert!(acting.given.lock().unwrap().is_empty());
    }
}
