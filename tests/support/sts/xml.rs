//! The service's answers, as AWS writes them.
use super::{Credentials, Refusal};
use crate::support::encoding::random_text;
use crate::support::http_server::Response;
use serde_json::Value;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The answer of AssumeRoleWithWebIdentity.
pub(super) fn assumed(key: &str, issued: &Credentials, claims: &Value) -> Response {
    let end = chrono::DateTime::from_timestamp(issued.end, 0).unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ");
    let text = |name: &str| escape(claims[name].as_str().unwrap_or_default());
    let Credentials { secret, session, arn, .. } = issued;
    let name = arn.rsplit('/').next().unwrap_or_default();
    result(
        "AssumeRoleWithWebIdentity",
        &format!(
            "<Audience>{}</Audience><AssumedRoleUser><AssumedRoleId>AROATESTROLE:{name}</AssumedRoleId><Arn>{arn}</Arn>\
             </AssumedRoleUser><Provider>{}</Provider><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}\
             </SecretAccessKey><SessionToken>{session}</SessionToken><Expiration>{end}</Expiration></Credentials>\
             <SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken><PackedPolicySize>0</PackedPolicySize>",
            text("aud"),
            text("iss"),
            text("sub"),
        ),
    )
}

/// The answer of GetCallerIdentity.
pub(super) fn caller(arn: &str) -> Response {
    let account = arn.split(':').nth(4).unwrap_or_default();
    let name = arn.rsplit('/').next().unwrap_or_default();
    let inner = format!("<Arn>{arn}</Arn><UserId>AROATESTROLE:{name}</UserId><Account>{account}</Account>");
    result("GetCallerIdentity", &inner)
}

fn result(action: &str, inner: &str) -> Response {
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inner}</{action}Result><ResponseMetadata><RequestId>{}\
         </RequestId></ResponseMetadata></{action}Response>",
        random_text(""),
    );
    Response::new(200, "text/xml", body)
}

pub(super) fn error(Refusal(status, code, message): &Refusal) -> Response {
    let kind = if *status < 500 { "Sender" } else { "Receiver" };
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>{}</RequestId></ErrorResponse>",
        escape(message),
        random_text(""),
    );
    Response::new(*status, "text/xml", body)
}

/// The text of the first element of that name.
pub(super) fn element(document: &str, name: &str) -> Option<String> {
    let start = document.find(&format!("<{name}>"))? + name.len() + 2;
    let end = start + document[start..].find("</")?;
    let text = document[start..end].trim();
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
