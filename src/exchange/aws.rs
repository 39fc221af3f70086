//! `AssumeRoleWithWebIdentity`: an ID token for temporary AWS credentials.
use crate::failure::{Failure, Kind};
use crate::http::{Client, Proof, Response, is_loopback};
use crate::terminal::printable;
use crate::token::stored_secret;
use helper_protocols::Secret;
use serde::{Deserialize, Serialize};
use std::path::Path;
use url::Url;
use zeroize::Zeroizing;

/// Credentials of an assumed role, in the form that is sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RoleCredentials {
    pub(crate) access_key_id: String,
    #[serde(with = "stored_secret")]
    pub(crate) secret_access_key: Secret,
    #[serde(with = "stored_secret")]
    pub(crate) session_token: Secret,
    pub(crate) account_id: Option<String>,
    /// Seconds since the epoch.
    pub(crate) obtained_at: i64,
    pub(crate) expires_at: i64,
    /// Milliseconds since the epoch.
    pub(crate) renewed_at_ms: i64,
}

impl RoleCredentials {
    pub(crate) fn stored_form(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("credentials hold only text and numbers"))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Kind::Misconfigured`] where a newer version wrote it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(bytes).map_err(|_| {
            Failure::new(Kind::Misconfigured, "stored AWS credentials are of a form that this version does not know")
                .hint("use the newer keyfob that wrote them, or run `keyfob logout --all` and sign in again")
        })
    }
}

/// What is asked of the token service.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) role_arn: &'a str,
    pub(crate) session_name: &'a str,
    /// Seconds, 900 to 43,200.
    pub(crate) duration: u32,
    pub(crate) account_id: Option<&'a str>,
}

/// What the environment says about endpoints, by the AWS SDKs' own names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `AWS_ENDPOINT_URL_STS`, else `AWS_ENDPOINT_URL`; absent under `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`.
    pub(crate) endpoint: Option<String>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub(crate) region: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`.
    pub(crate) fips: bool,
}

/// Returns the token service's address for a role in `partition`, in `region` where the route names one.
///
/// # Errors
/// [`Kind::Misconfigured`] where the configured address is none, or is plain http to another machine: the token would be readable.
pub(crate) fn endpoint(partition: &str, region: Option<&str>, around: &Surroundings) -> Result<Url, Failure> {
    if let Some(text) = &around.endpoint {
        return Url::parse(text)
            .ok()
            .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
            .ok_or_else(|| {
                Failure::new(Kind::Misconfigured, format!("`{}` is no address to send a token to", printable(text)))
                    .hint("set AWS_ENDPOINT_URL_STS to an https address, or to one of this machine")
            });
    }
    let (suffix, home) = match partition {
        "aws-cn" => ("amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov" => ("amazonaws.com", "us-gov-west-1"),
        "aws-eusc" => ("amazonaws.eu", "eusc-de-east-1"),
        _ => ("amazonaws.com", "us-east-1"),
    };
    let region = region.or(around.region.as_deref()).unwrap_or(home);
    let service = if around.fips { "sts-fips" } else { "sts" };
    let named =
        region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') && !region.is_empty();
    Url::parse(&format!("https://{service}.{region}.{suffix}/")).ok().filter(|_| named).ok_or_else(|| {
        Failure::new(Kind::Misconfigured, format!("`{}` is no AWS region", printable(region)))
            .hint("set `region` of the profile, or AWS_REGION")
    })
}

/// Trades `id_token` for credentials at `endpoint`. `now_ms` is milliseconds since the epoch.
///
/// A role that does not allow the duration asked for is asked once more without one.
///
/// # Errors
/// [`Kind::Unreachable`] where no answer came or the service is busy; [`Kind::Refused`] where the role or the token is not accepted.
pub(crate) fn assume_role(
    endpoint: &Url,
    ca_file: Option<&Path>,
    request: &Request<'_>,
    id_token: &Secret,
    now_ms: i64,
) -> Result<RoleCredentials, Failure> {
    let http = Client::towards(endpoint, ca_file)?;
    let duration = request.duration.to_string();
    let mut fields = vec![
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", request.role_arn),
        ("RoleSessionName", request.session_name),
        ("WebIdentityToken", id_token.expose()),
        ("DurationSeconds", &duration),
    ];
    let mut response = http.post_form(endpoint, &fields, Proof::None)?;
    if response.status == 400 && error_code(&response).is_some_and(|code| code == "ValidationError") && request.duration > 3600 {
        fields.pop();
        response = http.post_form(endpoint, &fields, Proof::None)?;
    }
    read(&response, request, endpoint.host_str().unwrap_or_default(), now_ms)
}

fn error_code(response: &Response) -> Option<String> {
    element(std::str::from_utf8(&response.body).ok()?, "Code").map(|code| code.to_string())
}

fn read(response: &Response, request: &Request<'_>, host: &str, now_ms: i64) -> Result<RoleCredentials, Failure> {
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    if response.status != 200 {
        return Err(refusal(response.status, text, request, host));
    }
    let part = |name: &str| element(text, name);
    let complete = || {
        let expires_at = chrono::DateTime::parse_from_rfc3339(&part("Expiration")?).ok()?.timestamp();
        let printable_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let (id, secret, session) = (part("AccessKeyId")?, part("SecretAccessKey")?, part("SessionToken")?);
        let fits = printable_key(&id) && printable_key(&secret) && printable_key(&session);
        fits.then(|| RoleCredentials {
            access_key_id: id.to_string(),
            secret_access_key: Secret::new(secret.to_string()),
            session_token: Secret::new(session.to_string()),
            account_id: request.account_id.map(ToOwned::to_owned),
            obtained_at: now_ms / 1000,
            expires_at,
            renewed_at_ms: now_ms,
        })
    };
    complete().ok_or_else(|| {
        Failure::new(Kind::Unreachable, format!("`{host}` sent something that is no answer of the AWS token service"))
    })
}

fn refusal(status: u16, text: &str, request: &Request<'_>, host: &str) -> Failure {
    let code = element(text, "Code").map(|code| printable(&code)).unwrap_or_default();
    let said = element(text, "Message").map(|message| printable(&message)).unwrap_or_default();
    let role = printable(request.role_arn);
    let refused = |message: String| Failure::new(Kind::Refused, message);
    match code.as_str() {
        "InvalidIdentityToken" | "IDPRejectedClaim" => refused(format!(
            "AWS does not accept the sign-in for `{role}` ({code}: {said})"
        ))
        .hint("check that the account has an identity provider for this issuer and client id; if so, check this machine's clock"),
        "ExpiredTokenException" => refused(format!("AWS says that the sign-in has expired ({said})"))
            .hint("check this machine's clock, then run the command again"),
        "AccessDenied" => refused(format!("AWS does not let you assume `{role}` ({said})"))
            .hint("ask for your account to be added to the role's trust policy"),
        "RegionDisabledException" => refused(format!("the AWS token service is switched off in this region ({said})"))
            .hint("set `region` of the profile to another one"),
        _ if status >= 500
            || status == 429
            || matches!(code.as_str(), "Throttling" | "IDPCommunicationError" | "ServiceUnavailable") =>
        {
            Failure::new(Kind::Unreachable, format!("`{host}` cannot answer right now (status {status}{})", suffix(&code)))
                .hint("try again in a moment")
        }
        _ => refused(format!(
            "`{host}` refused to exchange the sign-in for `{role}` (status {status}{}{})",
            suffix(&code),
            suffix(&said)
        )),
    }
}

fn suffix(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {text}") }
}

/// Returns the text of the first element called `name`, trimmed and with its entities decoded.
///
/// The answers hold four values in elements without attributes, so no XML reader is needed to find them.
fn element(xml: &str, name: &str) -> Option<Zeroizing<String>> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    if text.contains('<') {
        return None;
    }
    let decoded =
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&");
    Some(Zeroizing::new(decoded.chars().filter(|c| !c.is_whitespace() || *c == ' ').collect::<String>().trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request<'_> = Request {
        role_arn: "arn:aws:iam::123456789012:role/dev",
        session_name: "alice",
        duration: 3600,
        account_id: Some("123456789012"),
    };

    fn answer(status: u16, body: &str) -> Result<RoleCredentials, Failure> {
        read(
            &Response { status, body: Zeroizing::new(body.as_bytes().to_vec()), retry_after: None },
            &REQUEST,
            "sts.example.com",
            5000,
        )
    }

    #[test]
    fn the_endpoint_follows_partition_region_and_environment() {
        let none = Surroundings::default();
        let fips = Surroundings { fips: true, ..none.clone() };
        let in_region = Surroundings { region: Some("eu-west-1".into()), ..none.clone() };
        let at = |text: &str| Surroundings { endpoint: Some(text.into()), ..none.clone() };
        let rows = [
            ("aws", None, &none, Some("https://sts.us-east-1.amazonaws.com/")),
            ("aws", Some("eu-central-1"), &in_region, Some("https://sts.eu-central-1.amazonaws.com/")),
            ("aws", None, &in_region, Some("https://sts.eu-west-1.amazonaws.com/")),
            ("aws-cn", None, &none, Some("https://sts.cn-north-1.amazonaws.com.cn/")),
            ("aws-us-gov", None, &fips, Some("https://sts-fips.us-gov-west-1.amazonaws.com/")),
            ("aws", None, &at("http://127.0.0.1:5000"), Some("http://127.0.0.1:5000/")),
            ("aws", None, &at("https://sts.internal/"), Some("https://sts.internal/")),
            ("aws", None, &at("http://sts.internal/"), None),
            ("aws", Some("x.evil.example.com/"), &none, None),
            ("aws", Some(""), &none, None),
        ];
        for (partition, region, around, expected) in rows {
            let found = endpoint(partition, region, around).ok().map(|url| url.to_string());
            assert_eq!(found.as_deref(), expected, "{partition} {region:?} {around:?}");
        }
    }

    #[test]
    fn credentials_are_read_with_or_without_fractions_and_line_breaks() {
        for end in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"] {
            let body = format!(
                "<R><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s&amp;k</SecretAccessKey><SessionToken>\n a\nb </SessionToken>\
                 <Expiration>{end}</Expiration></Credentials></R>"
            );
            let credentials = answer(200, &body).unwrap();
            assert_eq!((credentials.expires_at, credentials.obtained_at), (1_767_225_600, 5));
            assert_eq!((credentials.secret_access_key.expose(), credentials.session_token.expose()), ("s&k", "ab"));
            let read = RoleCredentials::read(&credentials.stored_form()).unwrap();
            assert_eq!(read.access_key_id, "ASIA1");
            assert!(!format!("{read:?}").contains("s&k"));
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let error = |code: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no\u{1b}pe</Message></Error></ErrorResponse>"
            )
        };
        let rows = [
            (400, error("InvalidIdentityToken"), Kind::Refused, "identity provider"),
            (400, error("ExpiredTokenException"), Kind::Refused, "clock"),
            (403, error("AccessDenied"), Kind::Refused, "trust policy"),
            (403, error("RegionDisabledException"), Kind::Refused, "region"),
            (400, error("IDPCommunicationError"), Kind::Unreachable, "again"),
            (503, "<html>".into(), Kind::Unreachable, "again"),
            (429, String::new(), Kind::Unreachable, "again"),
            (400, error("Odd"), Kind::Refused, "refused"),
            (200, "<html>".into(), Kind::Unreachable, "no answer"),
            (200, "<AccessKeyId>A</AccessKeyId><SecretAccessKey>a b</SecretAccessKey>".into(), Kind::Unreachable, "no answer"),
        ];
        for (status, body, kind, words) in rows {
            let failure = answer(status, &body).unwrap_err();
            assert_eq!(failure.kind, kind, "{status} {body}");
            assert!(failure.lines().contains(words) && !failure.lines().contains('\u{1b}'), "{}", failure.lines());
        }
    }
}
