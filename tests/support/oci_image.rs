//! A container image of one layer and a few hundred bytes, as an OCI layout on disk.
use super::encoding::sha256_hex;
use super::temp_dir::write;
use serde_json::{Value, json};
use std::path::Path;

/// Writes the layout into `folder`; `skopeo copy oci:FOLDER:TAG docker://…` pushes it. Gives the manifest's digest.
pub fn write_layout(folder: &Path, tag: &str) -> String {
    let archive = tar("hello.txt", b"hello from a test image\n");
    let layer = gzip(&archive);
    let layer_digest = blob(folder, &layer);
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": { "Cmd": ["/hello.txt"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256_hex(&archive))] },
    });
    let configuration = configuration.to_string().into_bytes();
    let described = |kind: &str, bytes: &[u8], digest: &str| -> Value {
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "size": bytes.len(), "digest": digest })
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", &configuration, &blob(folder, &configuration)),
        "layers": [described("layer.v1.tar+gzip", &layer, &layer_digest)],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = blob(folder, &manifest);
    let mut entry = described("manifest.v1+json", &manifest, &digest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    write(&folder.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string());
    write(&folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string());
    digest
}

fn blob(folder: &Path, bytes: &[u8]) -> String {
    let hash = sha256_hex(bytes);
    write(&folder.join("blobs/sha256").join(&hash), bytes);
    format!("sha256:{hash}")
}

/// A POSIX archive that holds one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |place: usize, text: &str| header[place..place + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = [&header, content].concat();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

/// A gzip file whose blocks are stored as they are. Clients compress what is not compressed, and with that the digest
/// would be another one.
fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("the archive fits into one block");
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(content);
    file.extend(crc32(content).to_le_bytes());
    file.extend(u32::from(length).to_le_bytes());
    file
}

fn crc32(content: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !content.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
