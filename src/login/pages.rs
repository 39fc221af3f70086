//! What our pages say in a person's browser: who asked for what, and what came of it.
use super::pending::Pending;
use crate::failure::Failure;
use crate::oauth::result_page::{Mark, Page, sentence};

/// Returns the page that comes before the server's where nobody was told anything yet, and the words of its link. A tab that opens by
/// itself and asks for a password at once teaches people to type theirs into any such tab.
pub(super) fn asks(pending: &Pending) -> (Page, String) {
    let Pending { login, server, asker, .. } = pending;
    let why = pending.why.as_ref().map(|why| sentence(&format!("a new sign-in is needed because {why}")));
    let lines = [
        Some(format!("`{asker}` runs on this machine without a terminal, and cannot go on without you.")),
        why,
        Some(
            "Go on only if you know what that is. If not, close this tab: nothing happens, and no other one opens by itself."
                .into(),
        ),
    ];
    let page = Page {
        mark: Mark::Asks,
        title: format!("{asker} asks you to sign in to {login}"),
        facts: facts(pending, None),
        lines: lines.into_iter().flatten().collect(),
        link: None,
    };
    (page, format!("Go on to {server}"))
}

pub(super) fn signed_in(pending: &Pending, account: Option<&str>) -> Page {
    let line = format!("`{}` goes on now. You can close this tab.", pending.asker);
    Page {
        mark: Mark::Done,
        title: format!("Signed in to {}", pending.login),
        facts: facts(pending, account),
        lines: vec![line],
        link: None,
    }
}

pub(super) fn failed(pending: &Pending, failure: &Failure) -> Page {
    let lines = std::iter::once(&failure.message).chain(&failure.hints).map(|text| sentence(text)).collect();
    Page { mark: Mark::Failed, title: "Not signed in".into(), facts: facts(pending, None), lines, link: None }
}

/// Returns the page of a way to sign in that the server shut; the terminal has another.
pub(super) fn not_this_way(pending: &Pending, failure: &Failure) -> Page {
    let lines = vec![sentence(&failure.message), "The terminal goes on with another way to sign in.".into()];
    Page { mark: Mark::Failed, title: "Not signed in yet".into(), facts: facts(pending, None), lines, link: None }
}

/// Returns whose sign-in it is. All of it is printable.
fn facts(pending: &Pending, account: Option<&str>) -> Vec<(&'static str, String)> {
    let Pending { login, server, asker, pid, .. } = pending;
    let account = account.map(|account| ("Account", crate::terminal::printable(account)));
    let rest = [("Login", login.clone()), ("Server", server.clone()), ("Asked by", format!("{asker} (process {pid})"))];
    account.into_iter().chain(rest).collect()
}
