//! `require`: who may use a map, as a tree that Apache's `Require` lines and nesting map onto.

use ipnet::IpNet;

/// One condition, or several joined. Evaluated by layer 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Require {
    /// `all granted`: everybody, without a password.
    AllGranted,
    /// `all denied`: nobody.
    AllDenied,
    /// `valid-user`: any user of the file.
    ValidUser,
    /// `user A B`: one of these users.
    Users(Vec<String>),
    /// `group A B`: a member of one of these groups.
    Groups(Vec<String>),
    /// `ip CIDR ...`: a client address in one of these networks.
    Ip(Vec<IpNet>),
    /// `local`: the client is on this machine.
    Local,
    /// A plain list, or `{ any = [...] }`.
    Any(Vec<Require>),
    /// `{ all = [...] }`.
    All(Vec<Require>),
    /// `{ none = [...] }`.
    None(Vec<Require>),
}

/// What is known of a caller when a condition is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The client's address.
    pub address: std::net::IpAddr,
    /// The client's connection comes from this machine.
    pub local: bool,
    /// The proven user, if there is one.
    pub user: Option<&'a str>,
    /// The user's groups.
    pub groups: &'a [String],
}

impl Require {
    /// Whether the caller may come in.
    pub fn allows(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::AllGranted => true,
            Self::AllDenied => false,
            Self::ValidUser => asked.user.is_some(),
            Self::Users(users) => asked.user.is_some_and(|u| users.iter().any(|x| x == u)),
            Self::Groups(groups) => asked.user.is_some() && groups.iter().any(|g| asked.groups.contains(g)),
            Self::Ip(networks) => networks.iter().any(|n| n.contains(&asked.address)),
            Self::Local => asked.local,
            Self::Any(list) => list.iter().any(|r| r.allows(asked)),
            Self::All(list) => list.iter().all(|r| r.allows(asked)),
            Self::None(list) => !list.iter().any(|r| r.allows(asked)),
        }
    }

    /// Whether some user, once proven, could change the answer: then a stranger is asked for a password.
    pub fn names_users(&self) -> bool {
        match self {
            Self::ValidUser | Self::Users(_) | Self::Groups(_) => true,
            Self::Any(list) | Self::All(list) | Self::None(list) => list.iter().any(Self::names_users),
            _ => false,
        }
    }
}
