//! `docs/session-format.md` names every kind of value that the program registers, with its treatment, and no other.

use std::collections::BTreeMap;
use std::path::Path;

use waywarden::app::{self, Parts};
use waywarden::config::Config;
use waywarden_systems::registry::{Registry, Treatment};

/// Kinds and treatments that the program registers.
fn registered() -> BTreeMap<String, &'static str> {
    let app = app::build(&Config::default(), &[], Parts::idle());
    let treatment = |treatment| match treatment {
        Treatment::State => Some("state"),
        Treatment::Payload(_) => Some("payload"),
        Treatment::Message => Some("message"),
        Treatment::Exempt(_) => None,
    };
    let entries = app.world().resource::<Registry>().entries();
    entries.filter_map(|entry| Some((entry.name.to_owned(), treatment(entry.treatment)?))).collect()
}

/// Kinds and treatments of the page's table, whose rows are `| name | on | treatment | what |`.
fn documented(page: &str) -> BTreeMap<String, &str> {
    let rows = page.lines().skip_while(|line| *line != "## Kinds").filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), *cells.get(3)?))
    });
    rows.collect()
}

#[test]
fn the_page_names_every_kind() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/session-format.md");
    let page = std::fs::read_to_string(path).unwrap();
    let registered = registered();
    assert!(registered.len() > 40, "{registered:?}");
    assert_eq!(documented(&page), registered);
    for kind in registered.keys() {
        assert!(page.lines().any(|line| line.split(" = ").next().is_some_and(|name| name.trim() == kind)), "{kind}");
    }
}
