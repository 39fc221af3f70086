//! The large file storage of the git server: the batch interface and its basic transfers (the Git LFS API specification).
use super::http_server::{Request, Response};
use super::temp_dir::write;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const JSON: &str = "application/vnd.git-lfs+json";

/// Answers a request to the large files of a repository, which lie below `folder`; none where it is for something else.
pub fn answer(folder: &Path, request: &Request) -> Option<Response> {
    let (repository, rest) = request.path.split_once(".git/info/lfs/")?;
    let json = |status: u16, value: &Value| Some(Response::new(status, JSON, value.to_string()));
    match (request.method.as_str(), rest.split_once('/')) {
        ("POST", Some(("objects", "batch"))) => {
            let base = format!("http://{}{repository}.git/info/lfs/data/", request.header("host").unwrap_or_default());
            json(200, &batch(folder, &base, &serde_json::from_slice(&request.body).ok()?))
        }
        (method, Some(("data", oid))) if oid.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let file = place(folder, oid);
            match method {
                "PUT" => write(&file, &request.body),
                _ => return Some(std::fs::read(file).map_or_else(|_| Response::text(404, "no such file"), octets)),
            }
            json(200, &json!({}))
        }
        // there are no locks here
        _ => json(404, &json!({ "message": "not found" })),
    }
}

fn octets(content: Vec<u8>) -> Response {
    Response::new(200, "application/octet-stream", content)
}

fn place(folder: &Path, oid: &str) -> PathBuf {
    folder.join("large").join(oid)
}

fn batch(folder: &Path, base: &str, asked: &Value) -> Value {
    let objects = asked["objects"].as_array().cloned().unwrap_or_default();
    let answered = objects.into_iter().map(|mut object| {
        let oid = object["oid"].as_str().unwrap_or_default().to_owned();
        let link = json!({ "href": format!("{base}{oid}") });
        let (upload, there) = (asked["operation"] == "upload", place(folder, &oid).exists());
        match (upload, there) {
            (true, false) => object["actions"] = json!({ "upload": link }),
            (false, true) => object["actions"] = json!({ "download": link }),
            (true, true) => {}
            (false, false) => object["error"] = json!({ "code": 404, "message": "no such file" }),
        }
        object
    });
    json!({ "transfer": "basic", "objects": answered.collect::<Vec<_>>() })
}
