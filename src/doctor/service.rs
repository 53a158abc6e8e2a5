//! The service that computes models elsewhere: whether it answers, and computes what it is wanted for.

use std::path::Path;

use waywarden_systems::inference::remote::Unanswered;

use super::Check;
use super::files::Files;
use crate::config::Config;
use crate::network::Network;
use crate::remote;

/// Files of the service, and the service.
pub fn service(config: &Config, network: &Network) -> Vec<Check> {
    const NAME: &str = "remote.url";
    let wanted = &config.remote;
    if wanted.url.is_empty() {
        return vec![Check::ok("remote", "models are computed on this computer: remote.url is empty")];
    }
    let roles = remote::roles(config);
    if roles.is_empty() {
        return vec![Check::ok("remote", "nobody is asked: what remote.roles names is not enabled")];
    }
    let answer = match remote::try_out(config, network) {
        Ok(answer) => answer,
        Err(failure) => return vec![Check::failure("remote", &failure)],
    };
    let mut files = Files::of("remote");
    if !wanted.token_file.is_empty() {
        files.secret("remote.token_file", Path::new(&wanted.token_file));
    }
    if !wanted.ca_file.is_empty() {
        files.certificates("remote.ca_file", &wanted.ca_file);
    }
    let url = &wanted.url;
    let check = match answer {
        Ok(models) => {
            let each =
                models.models.iter().map(|(role, model)| format!("{role} by {} on {}", model.name, model.engine));
            let found = format!("{url}: {}", each.collect::<Vec<_>>().join(", "));
            let lacks = roles.iter().filter(|role| !models.models.contains_key(*role));
            let lacks: Vec<String> = lacks.map(ToString::to_string).collect();
            if lacks.is_empty() {
                Check::ok(NAME, found)
            } else {
                let lacks = lacks.join(" and ");
                Check::warn(
                    NAME,
                    format!("{found}, but no {lacks}"),
                    "a service with these models, or fewer remote.roles",
                )
            }
        }
        Err(Unanswered::Unreached(why)) => Check::warn(
            NAME,
            format!("{url}: {why}"),
            "is the service running, its address right, and does remote.ca_file vouch for it? Until it answers the models \
             of this computer are used, if it has any",
        ),
        Err(Unanswered::Refused(why)) => Check::fail(
            NAME,
            format!("{url}: {why}"),
            "is it a waywarden service, and remote.token_file the token of it?",
        ),
    };
    vec![files.check("no files of its own"), check]
}
