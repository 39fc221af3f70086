//! The `[git."URL"]`, `[docker."HOST"]` and `[aws.NAME]` tables: which requests a login answers.
use super::{
    document::{Located, Section, nearest, printable},
    login::Login,
    place::{Place, canonical_pattern},
    route::{AwsRole, Route, Routes, Tool, git_key},
};
use crate::failure::Failure;
use helper_protocols::docker;
use std::collections::BTreeMap;

/// The longest that STS lets a role session last, and the shortest, in seconds.
const DURATION: std::ops::RangeInclusive<u32> = 900..=43200;

/// Reads the route tables of `roots`, the file that wins first.
///
/// # Errors
/// Names the line of the first thing that does not fit; two tables of one file for the same place do not.
pub(super) fn read(roots: &[Section<'_>], logins: &BTreeMap<String, Login>) -> Result<Routes, Failure> {
    let mut found: Vec<Located<'_, Route>> = Vec::new();
    for root in roots {
        for (kind, read) in [("git", git as Reader), ("docker", registry as Reader), ("aws", profile as Reader)] {
            for (name, section) in root.sections(kind)? {
                let route = section.with(read(name, &section, logins)?);
                match found.iter().find(|earlier| earlier.value.key == route.value.key) {
                    Some(earlier) if earlier.same_file(&route) => {
                        return Err(route.fault(&format!("this is the same place as in line {}", earlier.line())));
                    }
                    Some(_) => {}
                    None => found.push(route),
                }
            }
        }
    }
    Ok(Routes::new(found.into_iter().map(|route| route.value).collect()))
}

type Reader = fn(&str, &Section<'_>, &BTreeMap<String, Login>) -> Result<Route, Failure>;

fn login_of<'l>(section: &Section<'_>, logins: &'l BTreeMap<String, Login>) -> Result<&'l Login, Failure> {
    let name =
        section.text("login")?.ok_or_else(|| section.fault("this table needs a `login`").hint("add `login = \"NAME\"`"))?;
    logins.get(name.value).ok_or_else(|| {
        let fault = name.fault(&format!("there is no login `{}`", printable(name.value)));
        match nearest(name.value, logins.keys().map(String::as_str)) {
            Some(known) => fault.hint(format!("did you mean `{known}`?")),
            None => fault.hint("add a table `[login.NAME]`"),
        }
    })
}

fn username_of(section: &Section<'_>) -> Result<Option<String>, Failure> {
    Ok(section.text("username")?.map(|text| text.value.to_owned()))
}

fn git(url: &str, section: &Section<'_>, logins: &BTreeMap<String, Login>) -> Result<Route, Failure> {
    section.allow(&["login", "username", "allow_http", "bearer"])?;
    let place = Place::parse(url).map_err(|reason| section.fault(&format!("`{}`: {reason}", printable(url))))?;
    let login = login_of(section, logins)?;
    match (place.scheme, section.flag("allow_http")?) {
        ("https", Some(true)) => {
            let fault = section.at("allow_http").fault("`allow_http` goes with an http URL; this one answers https only");
            return Err(fault.hint("add a table for the http URL"));
        }
        ("http", None | Some(false)) if !place.is_loopback() => {
            let fault = section.fault(&format!("`{}`: over http the token crosses the network for all to read", printable(url)));
            return Err(fault.hint("write https, or add `allow_http = true`"));
        }
        _ => {}
    }
    let account = place.user.clone().filter(|_| !login.fixed_username);
    Ok(Route {
        tool: Tool::Git,
        login: login.name.clone(),
        username: username_of(section)?.or(account).unwrap_or_else(|| login.git_username.clone()),
        bearer: section.flag("bearer")?.unwrap_or(false),
        key: git_key(place.scheme, place.user.as_deref(), &place.host, &place.path),
        aws: None,
    })
}

fn registry(name: &str, section: &Section<'_>, logins: &BTreeMap<String, Login>) -> Result<Route, Failure> {
    section.allow(&["login", "username"])?;
    let shown = printable(name);
    let server = if name.contains('*') {
        canonical_pattern(name).ok_or_else(|| {
            section.fault(&format!(
                "`{shown}` is not a pattern: `*` stands for one whole label, and two labels must be named, the last among them"
            ))
        })?
    } else {
        let below = name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/').split_once('/');
        if below.is_some_and(|(_, path)| !matches!(path, "v1" | "v2")) {
            return Err(section
                .fault(&format!("`{shown}`: a registry is named by its host; docker never says which repository it asks for")));
        }
        docker::normalize(name).ok_or_else(|| section.fault(&format!("`{shown}` is not a registry's host")))?
    };
    let login = login_of(section, logins)?;
    Ok(Route {
        tool: Tool::Docker,
        login: login.name.clone(),
        username: username_of(section)?.unwrap_or_else(|| login.docker_username.clone()),
        bearer: false,
        key: format!("docker {server}"),
        aws: None,
    })
}

fn profile(name: &str, section: &Section<'_>, logins: &BTreeMap<String, Login>) -> Result<Route, Failure> {
    section.allow(&["login", "role_arn", "region", "duration", "session_name"])?;
    if name.is_empty() || name.starts_with('-') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(section.fault("a profile's name has no blanks and does not begin with `-`"));
    }
    let login = login_of(section, logins)?;
    let role = section.text("role_arn")?.ok_or_else(|| {
        section.fault("this profile needs a `role_arn`").hint("add `role_arn = \"arn:aws:iam::123456789012:role/NAME\"`")
    })?;
    let (partition, account_id) =
        role.read(|arn| role_parts(arn).ok_or_else(|| "`role_arn` must look like arn:aws:iam::123456789012:role/NAME".into()))?;
    let checked = |key: &str, good: fn(&str) -> bool, expected: &str| {
        let read = |text: &&str| if good(text) { Ok((*text).to_owned()) } else { Err(format!("`{key}` must be {expected}")) };
        section.text(key)?.map(|text| text.read(read)).transpose()
    };
    Ok(Route {
        tool: Tool::Aws,
        login: login.name.clone(),
        username: String::new(),
        bearer: false,
        key: format!("aws {name}"),
        aws: Some(AwsRole {
            role_arn: role.value.to_owned(),
            partition,
            account_id,
            region: checked("region", is_region, "a region's name, as eu-central-1")?,
            duration: section.number("duration", DURATION)?.unwrap_or(3600),
            session_name: checked("session_name", is_session_name, "2 to 64 letters, digits or any of _+=,.@-")?,
        }),
    })
}

/// Returns partition and account of a role's name (`arn:PARTITION:iam::ACCOUNT:role/PATH`).
fn role_parts(arn: &str) -> Option<(String, String)> {
    let mut parts = arn.splitn(6, ':');
    let (arn, partition, service, region, account, resource) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let role = resource.strip_prefix("role/")?;
    let good = arn == "arn"
        && service == "iam"
        && region.is_empty()
        && is_region(partition)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=1024).contains(&role.len())
        && !role.ends_with('/')
        && role.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| (partition.to_owned(), account.to_owned()))
}

/// Tells whether `text` can stand in a host name of AWS: it is put into one.
fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (2..=32).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_session_name(text: &str) -> bool {
    (2..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_taken_apart_or_refused() {
        let good = role_parts("arn:aws:iam::123456789012:role/team/Developer");
        assert_eq!(good, Some(("aws".into(), "123456789012".into())));
        assert_eq!(role_parts("arn:aws-us-gov:iam::123456789012:role/D").map(|parts| parts.0), Some("aws-us-gov".into()));
        for arn in [
            "",
            "Developer",
            "arn:aws:iam::123456789012:user/D",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::12345678901:role/D",
            "arn:aws:iam::12345678901x:role/D",
            "arn:aws:sts::123456789012:role/D",
            "arn:aws:iam:eu-west-1:123456789012:role/D",
            "arn:evil.net/:iam::123456789012:role/D",
            "arn:aws:iam::123456789012:role/a b",
        ] {
            assert_eq!(role_parts(arn), None, "{arn}");
        }
    }

    #[test]
    fn regions_and_session_names_hold_nothing_that_a_url_could_misread() {
        for (text, good) in
            [("eu-central-1", true), ("us-gov-west-1", true), ("EU", false), ("a.b", false), ("x/..", false), ("-a", false)]
        {
            assert_eq!(is_region(text), good, "{text}");
        }
        for (text, good) in [("alice@corp.com", true), ("a", false), ("a b", false), ("a/b", false), ("_+=,.@-", true)] {
            assert_eq!(is_session_name(text), good, "{text}");
        }
    }
}
