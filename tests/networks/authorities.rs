//! Certificates that are not good, files of authorities that are not either, and a machine without any.
use crate::support::process::Output;
use crate::support::scene::{Scene, one_error};
use crate::support::temp_dir::write;
use crate::support::tls::{AUTHORITY, TlsIdentity, Wrong};

fn with_ca_file(scene: &Scene, file: &str) {
    let named = format!("client_id = \"keyfob\"\nca_file = \"{file}\"");
    scene.home.write_config(&scene.config().replace("client_id = \"keyfob\"", &named));
}

#[test]
fn each_way_in_which_a_certificate_is_bad_has_its_own_remedy() {
    let here: &[&str] = &["127.0.0.1"];
    let rows: [(&[&str], Wrong, bool, &str, &str); 7] = [
        (here, Wrong::Expired, true, "not good today (certificate expired", "check this machine's clock"),
        (here, Wrong::Early, true, "not good today (certificate not valid yet", "check this machine's clock"),
        (&["other.example.com"], Wrong::Nothing, true, "another server's", "check the name in the configuration"),
        (here, Wrong::Nothing, false, &format!("it is signed by `{AUTHORITY}`"), "the login's `ca_file`, or in SSL_CERT_FILE"),
        (here, Wrong::SelfSigned, false, "it is signed by `keyfob test server`", "somebody reads along"),
        (here, Wrong::Authority, false, "an authority's own", "basicConstraints = CA:FALSE"),
        (here, Wrong::Authority, true, "an authority's own", "basicConstraints = CA:FALSE"),
    ];
    for (hosts, wrong, trusted, says, remedy) in rows {
        let (scene, file) = Scene::behind(&TlsIdentity::with(hosts, wrong));
        if trusted {
            with_ca_file(&scene, &file.display().to_string());
        }
        let output = scene.sign_in_with(|_| {});
        one_error(&output);
        assert!(output.code == Some(5) && output.stderr.contains("cannot reach `127.0.0.1`"), "{wrong:?}: {output:?}");
        assert!(output.stderr.contains(says) && output.stderr.contains(remedy), "{wrong:?}: {output:?}");
        assert!(scene.home.browser_runs().is_empty(), "{wrong:?}");
    }
    let (scene, file) = Scene::behind(&TlsIdentity::with(here, Wrong::SelfSigned));
    with_ca_file(&scene, &file.display().to_string());
    scene.sign_in_with(|_| {}).success();
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_named_with_what_is_wrong() {
    let (scene, file) = Scene::behind(&TlsIdentity::generate());
    let good = std::fs::read(&file).unwrap();
    let at = |name: &str, content: &[u8]| {
        let path = scene.home.path().join(name);
        write(&path, content);
        path.display().to_string()
    };
    let der = [0x30, 0x82, 1, 0, 0x30];
    let cut = String::from_utf8_lossy(&good).replace("-----END CERTIFICATE-----", "");
    let huge = [good.as_slice(), &vec![b'\n'; 5 << 20]].concat();
    let rows = [
        (at("empty.pem", b""), "it holds no certificate"),
        (at("garbage.pem", b"\x00\xff\x1b[2J garbage"), "it holds no certificate"),
        (at("der.pem", &der), "it is in DER form"),
        (at("cut.pem", cut.as_bytes()), "a certificate in it cannot be read"),
        (at("bent.pem", b"-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----\n"), "a certificate in it cannot be read"),
        (at("huge.pem", &huge), "larger than 4 MiB"),
        (scene.home.path().join("missing.pem").display().to_string(), "No such file"),
        (scene.home.path().display().to_string(), "it is no file"),
        ("/dev/zero".into(), "it is no file"),
    ];
    for (path, says) in &rows {
        with_ca_file(&scene, path);
        let output = scene.sign_in_with(|_| {});
        one_error(&output);
        assert_eq!(output.code, Some(6), "{path}: {output:?}");
        assert!(
            output.stderr.contains(path) && output.stderr.contains(says) && output.stderr.contains("`ca_file`"),
            "{output:?}"
        );
    }
    scene.home.write_config(&scene.config());
    // a large file is the library's to read there, and what has no end its own fault
    for (path, says) in rows.iter().filter(|(path, _)| !path.ends_with("huge.pem") && path != "/dev/zero") {
        let output = scene.sign_in_with(|command| _ = command.env("SSL_CERT_FILE", path));
        one_error(&output);
        assert_eq!(output.code, Some(6), "{path}: {output:?}");
        assert!(output.stderr.contains(path) && output.stderr.contains("`SSL_CERT_FILE`"), "{says}: {output:?}");
        with_ca_file(&scene, &file.display().to_string());
        scene.sign_in_with(|command| _ = command.env("SSL_CERT_FILE", path)).success();
        scene.home.write_config(&scene.config());
    }
    let output = scene.sign_in_with(|command| _ = command.env("SSL_CERT_DIR", scene.home.bin()));
    assert!(output.code == Some(6) && output.stderr.contains("`SSL_CERT_DIR`"), "{output:?}");
    let folder = scene.home.path().join("certificates");
    write(&folder.join("5f4dcc3b.0"), &good);
    scene.sign_in_with(|command| _ = command.env("SSL_CERT_DIR", &folder)).success();
}

/// Runs `keyfob login corp` in a root of its own that has the program, its libraries and this home, and nothing else, as a container
/// `FROM scratch` has it. None where that cannot be made.
fn from_scratch(scene: &Scene) -> Option<Output> {
    let script = "root=$XDG_RUNTIME_DIR/root; mkdir -p $root/proc $root/dev $root/tmp $root/bin; mount --rbind /proc $root/proc\n\
                  mkdir -p $root$HOME; mount --rbind $HOME $root$HOME\n\
                  cp -L \"$KEYFOB\" $root/bin/keyfob; cp -L \"$KEYFOB_BROWSER\" $root/bin/browser\n\
                  for library in $(ldd \"$KEYFOB\" \"$KEYFOB_BROWSER\" | grep -o '/[^ :]*' | sort -u); do\n\
                  case $library in */target*|*keyfob*|*browser*) ;; *) mkdir -p $root$(dirname $library); cp -L $library $root$library;; esac; done\n\
                  test ! -e $root/etc; touch $root/dev/null; mount --bind /dev/null $root/dev/null\n\
                  export KEYFOB_BROWSER=/bin/browser; exec chroot $root /bin/keyfob login corp";
    scene.mounted(script)
}

#[test]
fn a_machine_without_any_authority_says_so_and_takes_the_one_that_is_named() {
    let (scene, file) = Scene::behind(&TlsIdentity::generate());
    let Some(output) = from_scratch(&scene) else { return };
    one_error(&output);
    assert_eq!(output.code, Some(6), "{output:?}");
    assert!(output.stderr.contains("knows no certificate authority"), "{output:?}");
    for remedy in ["`ca-certificates`", "`ca_file`", "SSL_CERT_FILE"] {
        assert!(output.stderr.contains(remedy), "{output:?}");
    }
    assert_eq!(scene.server.requests().len(), 0);
    with_ca_file(&scene, &file.display().to_string());
    from_scratch(&scene).unwrap().success();
    assert_eq!(scene.server.counts().codes_redeemed, 1);
}
