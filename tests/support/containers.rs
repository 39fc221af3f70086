//! What registry clients need to work for a test alone: a home with their configuration.
use super::temp_dir::{make_private, write};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A home for docker, skopeo, podman and buildah in which the given hosts (`127.0.0.1:PORT`) ask `keyfob` for
/// credentials. Nothing of the machine's own containers is read or written.
pub struct ContainerHome {
    home: PathBuf,
}

impl ContainerHome {
    /// Writes the files under `home`, which exists. The hosts are loopback registries that speak plain HTTP.
    pub fn new(home: &Path, hosts: &[&str]) -> Self {
        let this = Self { home: home.to_owned() };
        for folder in ["docker", "run", "containers/run", "containers/root", ".config/containers"] {
            make_private(&home.join(folder));
        }
        let helpers: serde_json::Map<_, _> = hosts.iter().map(|host| ((*host).to_owned(), json!("keyfob"))).collect();
        let helpers = json!({ "credHelpers": helpers }).to_string();
        this.write("docker/config.json", &helpers);
        this.write("auth.json", &helpers);
        this.write(".config/containers/policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
        let (run, root) = (home.join("containers/run"), home.join("containers/root"));
        this.write("storage.conf", &format!("[storage]\ndriver = \"vfs\"\nrunroot = {run:?}\ngraphroot = {root:?}\n"));
        this.write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n");
        let registries: String =
            hosts.iter().map(|host| format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n")).collect();
        this.write(".config/containers/registries.conf", &registries);
        this
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.home.join(name), text);
    }

    /// `HOME` and where each client finds the files; `PATH`, with the folder of `docker-credential-keyfob`, is the caller's.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        [
            ("HOME", ""),
            ("DOCKER_CONFIG", "docker"),
            ("REGISTRY_AUTH_FILE", "auth.json"),
            ("XDG_RUNTIME_DIR", "run"),
            ("CONTAINERS_STORAGE_CONF", "storage.conf"),
            ("CONTAINERS_CONF", "containers.conf"),
        ]
        .map(|(name, path)| (name, if path.is_empty() { self.home.clone() } else { self.home.join(path) }))
        .to_vec()
    }
}
