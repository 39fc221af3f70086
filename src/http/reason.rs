//! Why no whole answer came, in words for a person, and what mends it.
use super::proxy::Named;
use crate::terminal::printable;

/// What the HTTP client knows of a request that failed.
#[derive(Debug)]
pub(super) struct Fault {
    /// What its error says, then what each cause says, the first cause last. Their own sentences carry the URL, whose query can hold
    /// secrets: the first ones are looked at and never shown.
    pub(super) causes: Vec<String>,
    pub(super) timed_out: bool,
    /// Nothing of the request had been sent.
    pub(super) connecting: bool,
}

impl Fault {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        Self { causes: causes(error), timed_out: error.is_timeout(), connecting: error.is_connect() || error.is_builder() }
    }

    fn says(&self, words: &str) -> bool {
        self.causes.iter().any(|cause| cause.contains(words))
    }

    fn innermost(&self) -> &str {
        self.causes.last().map_or("", String::as_str)
    }
}

/// A reason, and what mends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) remedy: String,
}

impl Reason {
    pub(super) fn new(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { text: text.into(), remedy: remedy.into() }
    }

    /// Returns `text` with the remedy for a connection that failed somewhere.
    pub(super) fn of_the_network(text: impl Into<String>, proxy: Option<&Named>) -> Self {
        let check = match proxy {
            Some(proxy) => format!("check the network and `{}`, which names the proxy", proxy.variable),
            None => "check the network; a proxy has to be named in `https_proxy`, for git's `http.proxy` is not read".to_owned(),
        };
        Self::new(text, format!("{check}; this signs nobody out"))
    }
}

/// Says why a request to `host` failed; `proxy` is the one that it may have gone through.
pub(super) fn explain(fault: &Fault, host: &str, proxy: Option<&Named>) -> Reason {
    if let (Some(proxy), true) = (proxy, fault.says("tunnel error") || fault.says("socks proxy")) {
        return of_proxy(fault, host, proxy);
    }
    if fault.says("invalid peer certificate") {
        return of_certificate(fault.innermost(), "the login's `ca_file`, or in SSL_CERT_FILE");
    }
    if fault.says("dns error") {
        let text = format!("its name cannot be resolved ({})", fault.innermost());
        return Reason::of_the_network(text, None);
    }
    if fault.timed_out || fault.says("timed out") {
        return Reason::of_the_network("it did not answer in time", proxy);
    }
    let no_https = [
        ("InvalidContentType", "what answers there does not speak https"),
        ("tls handshake eof", "the connection ended where https should have begun"),
    ];
    if let Some((_, text)) = no_https.into_iter().find(|(words, _)| fault.says(words)) {
        return Reason::new(
            text,
            "check the port; a proxy or the network's own sign-in page may stand in between: open a page in a browser",
        );
    }
    if fault.connecting {
        return Reason::of_the_network(fault.innermost(), proxy);
    }
    Reason::of_the_network(format!("the exchange failed ({})", fault.innermost()), proxy)
}

/// Says that the proxy wants to know who asks.
pub(super) fn unauthorised(proxy: &Named) -> Reason {
    let Named { variable, shown, has_password, .. } = proxy;
    if *has_password {
        return Reason::new(
            format!("the proxy {shown} does not accept the user name and password in `{variable}`"),
            format!("correct them in `{variable}`; a %, #, / or @ in them is written %25, %23, %2F, %40"),
        );
    }
    let (scheme, rest) = shown.split_once("://").unwrap_or(("http", shown));
    Reason::new(
        format!("the proxy {shown}, which `{variable}` names, wants a user name and a password"),
        format!("write `{variable}` as {scheme}://USER:PASSWORD@{rest}; Kerberos and NTLM are not spoken"),
    )
}

fn of_proxy(fault: &Fault, host: &str, proxy: &Named) -> Reason {
    let Named { variable, shown, .. } = proxy;
    if fault.says("proxy authorization required") || fault.says("credentials not accepted") {
        return unauthorised(proxy);
    }
    if fault.says("invalid peer certificate") {
        let of_it = of_certificate(fault.innermost(), "SSL_CERT_FILE");
        return Reason::new(format!("the proxy {shown}: {}", of_it.text), of_it.remedy);
    }
    let past = format!("check `{variable}`, or add `{host}` to `no_proxy` if it can be reached without a proxy");
    if fault.says("failed to create underlying connection") {
        let text = if fault.timed_out { "it did not answer in time" } else { fault.innermost() };
        return Reason::new(format!("the proxy {shown}, which `{variable}` names, cannot be reached: {text}"), past);
    }
    if fault.timed_out {
        return Reason::new(format!("the proxy {shown}, which `{variable}` names, did not get through to it in time"), past);
    }
    let ask = if proxy.has_password {
        format!("ask who runs the proxy whether `{host}` is allowed, and whether your user name and password still hold")
    } else {
        format!("ask who runs the proxy whether `{host}` is allowed")
    };
    Reason::new(format!("the proxy {shown}, which `{variable}` names, did not open a way to it"), format!("{ask}; {past}"))
}

/// Says what is wrong with a certificate. `says` is the TLS library's sentence, which holds nothing but what a server showed.
fn of_certificate(says: &str, place: &str) -> Reason {
    let says = says.strip_prefix("invalid peer certificate: ").unwrap_or(says);
    let says = says.strip_prefix("Other(OtherError(").and_then(|says| says.strip_suffix("))")).unwrap_or(says);
    let (text, remedy) = if says.contains("certificate expired") || says.contains("not valid yet") {
        (
            format!("its certificate is not good today ({says})"),
            "check this machine's clock; if it is right, the server's certificate has to be renewed".to_owned(),
        )
    } else if says.contains("not valid for name") {
        (
            format!("its certificate is another server's ({says})"),
            "check the name in the configuration; if it is right, the server shows the wrong certificate".to_owned(),
        )
    } else if says.contains("CaUsedAsEndEntity") {
        (
            "its certificate is an authority's own, which cannot stand for a server".to_owned(),
            "give the server a certificate that is signed by that authority (`basicConstraints = CA:FALSE`)".to_owned(),
        )
    } else {
        (
            format!("its certificate cannot be trusted: {says}"),
            format!(
                "if that authority is your company's, name its certificate (PEM) in {place}; if nobody told you of it, somebody \
                 reads along"
            ),
        )
    };
    Reason::new(text, remedy)
}

/// Returns what an error and each of its causes say, printable.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |cause| cause.source()).map(|cause| printable(&cause.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::proxy::Proxies;
    use super::*;
    use crate::config::Environment;
    use url::Url;

    fn proxies(address: &str) -> Proxies {
        let environment = Environment::from_map([("https_proxy".into(), address.into())]);
        Proxies::read(&environment).unwrap().unwrap()
    }

    /// What every error of the HTTP client begins with.
    const SEND: &str = "error sending request for url (https://h/?code=s3cret)";
    const TUNNEL: &str = "tunnel error: failed to create underlying connection";
    const ASKED: &str = "tunnel error: proxy authorization required";
    const SHUT: &str = "tunnel error: unsuccessful";

    /// Panics unless a fault with these causes has this sentence and this remedy.
    #[track_caller]
    fn says(proxies: Option<&Proxies>, causes: &[&str], timed_out: bool, text: &str, remedy: &str) {
        let causes = std::iter::once(SEND).chain(causes.iter().copied()).map(ToOwned::to_owned).collect();
        let fault = Fault { causes, timed_out, connecting: text != "the exchange failed (gone)" };
        let reason = explain(&fault, "h", proxies.and_then(|proxies| proxies.of(&Url::parse("https://h").unwrap())));
        assert!(reason.text.contains(text) && reason.remedy.contains(remedy), "{reason:?}");
        assert!(!format!("{reason:?}").contains("s3cret"));
    }

    #[test]
    fn every_cause_has_its_sentence_and_what_mends_it() {
        says(
            None,
            &["dns error", "Name or service not known"],
            false,
            "its name cannot be resolved (Name",
            "`http.proxy` is not read",
        );
        says(None, &["tcp connect error", "Connection refused"], false, "Connection refused", "signs nobody out");
        says(None, &["operation timed out"], true, "did not answer in time", "check the network");
        says(None, &["received corrupt message of type InvalidContentType"], false, "does not speak https", "open a page");
        says(None, &["gone"], false, "the exchange failed (gone)", "check the network");
    }

    #[test]
    fn what_a_proxy_did_is_said_of_the_proxy() {
        let (bare, known) = (proxies("proxy:3128"), proxies("http://alice:s3cret@proxy:3128"));
        says(Some(&bare), &[ASKED], false, "wants a user name", "http://USER:PASSWORD@proxy:3128");
        says(Some(&known), &[ASKED], false, "does not accept", "%23");
        says(Some(&known), &[SHUT], false, "did not open a way", "password still hold");
        says(Some(&bare), &[SHUT], false, "did not open a way", "`no_proxy`");
        says(Some(&bare), &[TUNNEL, "Connection refused"], false, "cannot be reached: Connection refused", "`h`");
        says(Some(&bare), &[TUNNEL, "operation timed out"], true, "cannot be reached: it did not answer", "`h`");
        says(Some(&bare), &["error connecting to socks proxy", "x"], true, "did not get through", "`https_proxy`");
        says(Some(&bare), &["operation timed out"], true, "did not answer in time", "`https_proxy`, which names the proxy");
    }
}
