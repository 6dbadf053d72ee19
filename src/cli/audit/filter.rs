//! Which records the commands are about, as options.

use crate::search::{Asked, Field, Question};
use clap::Args;

/// The options; a record must match all that are given.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Not before: 2026-01-31, 2026-01-31T08:00 (UTC), or an age: 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before; the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// A user's name, or the beginning of an unknown name's hash
    #[arg(long)]
    user: Option<String>,
    /// A client's address or network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// A site's name, or a Host as sent
    #[arg(long)]
    site: Option<String>,
    /// The beginning of a path
    #[arg(id = "path_prefix", long = "path", value_name = "PATH")]
    path: Option<String>,
    /// The layer that decided: door, basic_auth, ntlm_block, rate_limit, inspection ...
    #[arg(long)]
    layer: Option<String>,
    /// What was decided: allow, deny, challenge, redirect, mask, answer, abort
    #[arg(long)]
    action: Option<String>,
    /// Why, the word in the record
    #[arg(long)]
    reason: Option<String>,
    /// The status the client got: 403, 4xx, 500-504
    #[arg(long)]
    status: Option<String>,
    /// A rule that matched, by its id
    #[arg(long, value_name = "ID")]
    rule: Option<u64>,
    /// The method
    #[arg(long)]
    method: Option<String>,
    /// A variable that a rule matched, as ARGS:id
    #[arg(long, value_name = "VARIABLE")]
    target: Option<String>,
    /// The backend's name
    #[arg(long)]
    backend: Option<String>,
    /// The kind of the record: request, tunnel_end, connection, gap, start, stop ...
    #[arg(long)]
    kind: Option<String>,
    /// A group of one cause, by the id that `groups` shows
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Words that all stand somewhere in the record, in any letter case
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
}

impl Filter {
    /// Understands the options.
    ///
    /// # Errors
    /// What is wrong with them, one sentence.
    pub(super) fn question(&self) -> Result<Question, String> {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let fields = [
            (Field::Layer, text(&self.layer)),
            (Field::Action, text(&self.action)),
            (Field::Reason, text(&self.reason)),
            (Field::Rule, self.rule.map(|id| id.to_string()).unwrap_or_default()),
            (Field::Method, text(&self.method)),
            (Field::Target, text(&self.target)),
            (Field::Backend, text(&self.backend)),
            (Field::Kind, text(&self.kind)),
            (Field::Cause, text(&self.group)),
        ];
        let asked = Asked {
            since: text(&self.since),
            until: text(&self.until),
            user: text(&self.user),
            ip: text(&self.ip),
            site: text(&self.site),
            path: text(&self.path),
            status: text(&self.status),
            fields: fields.into_iter().collect(),
            text: self.text.join(" "),
        };
        asked.question(crate::clock::Moment::now().unix_micros)
    }
}
