//! The token service answers a real AWS client, and names what is wrong with a request.
use crate::support::authorization_server::AuthorizationServer;
use crate::support::home::Home;
use crate::support::http_client::{self, Answer};
use crate::support::sts::Sts;
use crate::support::{introspection, peers, process};

fn exchange(sts: &Sts, token: &str, change: (&str, &str)) -> Answer {
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", "arn:aws:iam::123456789012:role/team/Developer"),
        ("RoleSessionName", "alice"),
        ("WebIdentityToken", token),
        ("DurationSeconds", "3600"),
    ];
    let changed: Vec<_> = fields.iter().map(|(n, v)| if *n == change.0 { change } else { (*n, *v) }).collect();
    http_client::post_form(&sts.url(), &[], &changed).unwrap()
}

fn element(answer: &Answer, name: &str) -> String {
    let text = answer.text();
    let start = text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {text}")).1;
    start.split_once('<').unwrap().0.to_owned()
}

#[test]
fn the_token_service_answers_good_id_tokens_and_names_what_is_wrong_with_others() {
    let server = AuthorizationServer::start();
    let (_, token) = server.issue("keyfob");
    let sts = Sts::trusting(&server.issuer(), "keyfob");
    let answer = exchange(&sts, &token, ("", ""));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(element(&answer, "AccessKeyId").starts_with("ASIA") && element(&answer, "Expiration").ends_with('Z'));
    let (_, foreign) = server.issue("another");
    server.configure(|settings| settings.id_token_life = -1);
    let (_, expired) = server.issue("keyfob");
    sts.deny_role("arn:aws:iam::123456789012:role/Denied");
    let cases = [
        (foreign.as_str(), ("", ""), "InvalidIdentityToken"),
        ("at_no_jwt", ("", ""), "InvalidIdentityToken"),
        (&expired, ("", ""), "ExpiredTokenException"),
        (&token, ("DurationSeconds", "899"), "ValidationError"),
        (&token, ("DurationSeconds", "43201"), "ValidationError"),
        (&token, ("RoleSessionName", "a b"), "ValidationError"),
        (&token, ("RoleArn", "Developer"), "ValidationError"),
        (&token, ("RoleArn", "arn:aws:iam::123456789012:role/Denied"), "AccessDenied"),
    ];
    for (token, change, code) in cases {
        let answer = exchange(&sts, token, change);
        assert_eq!((answer.status, element(&answer, "Code").as_str()), (if code == "AccessDenied" { 403 } else { 400 }, code));
    }
    let counts = sts.counts();
    assert_eq!((counts.exchanges, counts.issued, counts.refused), (9, 1, 8));
}

fn aws(home: &Home, endpoint: &str, issued: &Answer, secret: &str) -> process::Output {
    let mut command = home.command(peers::aws());
    command.env("AWS_ACCESS_KEY_ID", element(issued, "AccessKeyId")).env("AWS_SECRET_ACCESS_KEY", secret);
    command.env("AWS_SESSION_TOKEN", element(issued, "SessionToken")).env("AWS_DEFAULT_REGION", "eu-central-1");
    process::run(command.args(["sts", "get-caller-identity", "--endpoint-url", endpoint]), b"")
}

#[test]
fn the_token_service_knows_callers_by_the_signature_of_a_real_client() {
    if !peers::require("aws") {
        return;
    }
    let (home, server) = (Home::new(), AuthorizationServer::start());
    let sts = Sts::trusting(&server.issuer(), "keyfob");
    let issued = exchange(&sts, &server.issue("keyfob").1, ("", ""));
    let secret = element(&issued, "SecretAccessKey");
    let good = aws(&home, &sts.url(), &issued, &secret);
    assert!(good.success().stdout.contains("arn:aws:sts::123456789012:assumed-role/Developer/alice"));
    let bad = aws(&home, &sts.url(), &issued, "another secret");
    assert!(bad.stderr.contains("SignatureDoesNotMatch"), "{bad:?}");
    sts.set_life(-1);
    let expired = exchange(&sts, &server.issue("keyfob").1, ("", ""));
    let late = aws(&home, &sts.url(), &expired, &element(&expired, "SecretAccessKey"));
    assert!(late.stderr.contains("ExpiredToken"), "{late:?}");
    let front = Sts::in_front_of(&sts.url(), introspection::id_tokens_of(&server.issuer(), "keyfob"));
    assert_eq!(element(&exchange(&front, "at_no_jwt", ("", "")), "Code"), "InvalidIdentityToken");
    assert_eq!(sts.counts().exchanges, 2, "what the front refuses does not reach the service behind it");
}
