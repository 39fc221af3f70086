//! The check of AWS Signature Version 4, from the header form.
use crate::support::encoding::{hex, sha256_hex};
use crate::support::http_server::Request;
use ring::hmac;

/// Who signed what, as the `Authorization` header says.
pub(super) struct Signed {
    pub(super) access_key: String,
    /// Date, region, service and `aws4_request`.
    scope: Vec<String>,
    headers: Vec<String>,
    signature: String,
}

impl Signed {
    pub(super) fn of(request: &Request) -> Option<Self> {
        let header = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let mut credential = part("Credential")?.split('/').map(str::to_owned);
        let access_key = credential.next()?;
        let scope: Vec<String> = credential.collect();
        let headers = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
        (scope.len() == 4).then_some(Self { access_key, scope, headers, signature: part("Signature")?.to_owned() })
    }

    /// Whether the signature is the one that `secret` makes for `request`, and host, date and token are signed.
    pub(super) fn holds(&self, request: &Request, secret: &str) -> bool {
        let required = ["host", "x-amz-date", "x-amz-security-token"];
        if !required.iter().all(|name| self.headers.iter().any(|signed| signed == name)) {
            return false;
        }
        let date = request.header("x-amz-date").unwrap_or_default();
        if !date.starts_with(&self.scope[0]) {
            return false;
        }
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{}\n{}",
            self.scope.join("/"),
            sha256_hex(self.canonical_request(request).as_bytes())
        );
        let seed = format!("AWS4{secret}").into_bytes();
        let key = self.scope.iter().fold(seed, |key, part| keyed_hash(&key, part));
        hex(&keyed_hash(&key, &to_sign)) == self.signature
    }

    fn canonical_request(&self, request: &Request) -> String {
        let mut query: Vec<String> = request.parameters().iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        query.sort();
        let squeeze = |value: &str| value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let line = |name: &String| format!("{name}:{}\n", squeeze(request.header(name).unwrap_or_default()));
        let path: Vec<String> = request.path.split('/').map(encode).collect();
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            request.method,
            path.join("/"),
            query.join("&"),
            self.headers.iter().map(line).collect::<String>(),
            self.headers.join(";"),
            sha256_hex(&request.body)
        )
    }
}

fn keyed_hash(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
