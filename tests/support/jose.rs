//! Signed tokens: an ES256 key that signs JWTs, and the check of ES256 and RS256 JWTs against a JWKS.
use super::encoding::{base64url, from_base64, random_text};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Value, json};

/// A P-256 key and its key id.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    key_id: String,
}

impl SigningKey {
    pub fn generate() -> Self {
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("a key can be made");
        Self::from_pkcs8(document.as_ref())
    }

    /// Takes a P-256 key as PKCS#8 DER.
    pub fn from_pkcs8(document: &[u8]) -> Self {
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document, &SystemRandom::new()).expect("a P-256 key as PKCS#8");
        Self { pair, key_id: random_text("key-") }
    }

    /// A compact JWS over `claims`, with the key id in its header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "typ": "JWT", "alg": "ES256", "kid": self.key_id }), claims)
    }

    /// The same under a header of the caller's.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signing needs only random bytes");
        format!("{signed}.{}", base64url(signature.as_ref()))
    }

    /// The public half as a JWK Set.
    pub fn jwks(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id, "x": x, "y": y }] })
    }
}

/// Why a token was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    UnknownKey,
    WrongSignature,
    WrongIssuer,
    WrongAudience,
    Expired,
}

/// The claims of `token`, once its signature by a key of `jwks`, `iss`, `aud` and `exp` hold.
pub fn verify(token: &str, jwks: &Value, issuer: &str, audience: &str, now: i64) -> Result<Value, Refused> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = (part(header)?, part(claims)?);
    let signature = from_base64(signature).ok_or(Refused::Malformed)?;
    let key = key_for(jwks, &header).ok_or(Refused::UnknownKey)?;
    let algorithm = header["alg"].as_str().unwrap_or_default();
    if !signature_holds(key, algorithm, signed.as_bytes(), &signature) {
        return Err(Refused::WrongSignature);
    }
    if claims["iss"] != issuer {
        return Err(Refused::WrongIssuer);
    }
    let named = claims["aud"] == audience || claims["aud"].as_array().is_some_and(|all| all.iter().any(|one| one == audience));
    if !named {
        return Err(Refused::WrongAudience);
    }
    if claims["exp"].as_i64().is_none_or(|end| end <= now) {
        return Err(Refused::Expired);
    }
    Ok(claims)
}

/// The claims of a compact JWS, unverified.
pub fn claims(token: &str) -> Option<Value> {
    part(token.split('.').nth(1)?).ok()
}

fn part(text: &str) -> Result<Value, Refused> {
    let bytes = from_base64(text).ok_or(Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

fn key_for<'a>(jwks: &'a Value, header: &Value) -> Option<&'a Value> {
    let keys = jwks["keys"].as_array()?;
    keys.iter().find(|key| header["kid"].is_null() || key["kid"] == header["kid"])
}

fn signature_holds(key: &Value, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
    let field = |name: &str| from_base64(key[name].as_str().unwrap_or_default()).unwrap_or_default();
    match (algorithm, key["kty"].as_str()) {
        ("ES256", Some("EC")) => {
            let point = [vec![4], field("x"), field("y")].concat();
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
        }
        ("RS256", Some("RSA")) => {
            let key = RsaPublicKeyComponents { n: field("n"), e: field("e") };
            key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
        }
        _ => false,
    }
}
