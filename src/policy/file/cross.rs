//! Mistakes between the parts: backends that lead back to the gateway, backends that nothing uses.

use super::Ctx;
use super::backend::BackendFile;
use super::section::quoted;
use super::site::SiteFile;
use super::tree::Sp;
use crate::policy::{Admin, Listener, Member, SiteName};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Runs all of them.
pub(super) fn check(ctx: &Ctx<'_>, listeners: &[Sp<Listener>], admin: Option<&Sp<Admin>>, backends: &[BackendFile], sites: &[SiteFile]) {
    for backend in backends {
        for (member, span) in backend.backend.members.iter().zip(&backend.members) {
            let own = listeners.iter().find(|l| leads_to(member, l.value.address));
            if let Some(listener) = own {
                let message = format!("this member is the gateway itself, the listener of line {}", ctx.report.line(listener.span.start));
                ctx.report.error(span, message, "write the address of the application");
            } else if admin.is_some_and(|a| leads_to(member, a.value.address)) {
                ctx.report.error(
                    span,
                    "this member is the gateway's own admin address: a map to it shows the console to everybody",
                    "write the address of the application",
                );
            } else if let Some(name) = own_name(member, listeners, sites) {
                let help = "add address = \"...\" with the application's own IP address";
                let message =
                    format!("{} is also a name of a site: where it resolves to the gateway, requests go in circles", quoted(name));
                ctx.report.warning(span, message, help);
            }
        }
    }
    unused(ctx, backends, sites);
}

/// Whether connecting to the member would reach a socket of ours, as far as can be known without a name lookup.
fn leads_to(member: &Member, ours: SocketAddr) -> bool {
    let local = matches!(member.host.as_str(), "localhost" | "ip6-localhost");
    let Some(ip) = member.address.or_else(|| local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))) else { return false };
    let ip = ip.to_canonical();
    let same = ip == ours.ip().to_canonical();
    let this_machine = ip.is_loopback() || ip.is_unspecified();
    let ours_here = ours.ip().is_unspecified() || (ours.ip().to_canonical().is_loopback() && (ip.is_unspecified() || local));
    member.port == ours.port() && (same || (this_machine && ours_here))
}

fn own_name<'s>(member: &Member, listeners: &[Sp<Listener>], sites: &'s [SiteFile]) -> Option<&'s str> {
    if member.address.is_some() || !listeners.iter().any(|l| l.value.address.port() == member.port) {
        return None;
    }
    sites.iter().flat_map(|s| &s.names).find_map(|n| match &n.value {
        SiteName::Exact(host) if *host == member.host => Some(host.as_str()),
        _ => None,
    })
}

fn unused(ctx: &Ctx<'_>, backends: &[BackendFile], sites: &[SiteFile]) {
    // Where something could not be read, the map that uses it may be among that.
    if ctx.report.has_errors() {
        return;
    }
    for backend in backends.iter().filter(|b| b.whole) {
        let used = sites.iter().flat_map(|s| &s.site.maps).any(|m| m.backend.as_ref().is_some_and(|b| b.index == backend.backend.index));
        if !used {
            let message = format!("no map leads to the backend {}", quoted(&backend.name.value));
            ctx.report.warning(&backend.name.span, message, "map a path to it, or leave it out");
        }
    }
}
