//! Read-only homes and full disks: the error names the file and what to do, and no code and no refresh token is spent.
#![cfg(target_os = "linux")]
use crate::support::process::Output;
use crate::support::scene::{Scene, one_error};

const READ_ONLY: &str = "mount --bind \"$HOME\" \"$HOME\"; mount -o remount,ro,bind \"$HOME\"; ";
/// A state folder on a disk of 64 KiB, with what was in it.
const FULL: &str = "mkdir -p \"$XDG_RUNTIME_DIR/full\"; mount -t tmpfs -o size=64k,mode=0700 none \"$XDG_RUNTIME_DIR/full\"; \
                    cp -a \"$XDG_STATE_HOME/.\" \"$XDG_RUNTIME_DIR/full\"; mount --bind \"$XDG_RUNTIME_DIR/full\" \"$XDG_STATE_HOME\"; ";

fn misconfigured(output: &Output, says: &[&str]) {
    one_error(output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(6), ""), "{output:?}");
    assert!(says.iter().all(|part| output.stderr.contains(part)) && output.stderr.contains("hint:"), "{output:?}");
}

fn expired() -> Scene {
    let scene = Scene::new();
    scene.sign_in_and_expire();
    scene
}

/// Panics unless the refresh token in `scene` was not spent: a disk that works again is all it takes.
fn renews_afterwards(scene: &Scene) {
    assert_eq!(scene.server.counts().refresh_requests, 0, "a refresh token was spent that could not be kept");
    scene.token_unattended().success();
    let counts = scene.server.counts();
    assert_eq!((counts.authorizations, counts.refreshes, counts.reuses), (1, 1, 0));
    assert!(scene.server.family_alive());
}

#[test]
fn on_a_full_disk_a_code_is_not_spent() {
    let scene = Scene::new();
    let Some(output) = scene.mounted(&format!("{FULL} exec \"$KEYFOB\" login corp")) else { return };
    misconfigured(&output, &["keyfob/v1", "space"]);
    assert_eq!(scene.server.counts().token_requests, 0, "a code was spent whose tokens could not be kept");
    scene.sign_in().success();
    scene.token_unattended().success();
}

#[test]
fn on_a_full_disk_a_refresh_token_is_not_spent() {
    let scene = expired();
    let Some(output) = scene.mounted(&format!("{FULL} exec \"$KEYFOB\" token corp")) else { return };
    misconfigured(&output, &["keyfob/v1", "space"]);
    renews_afterwards(&scene);
}

#[test]
fn on_a_full_disk_what_is_cached_still_answers_and_what_is_to_be_kept_is_refused() {
    let (scene, token) = Scene::signed_in();
    scene.keep_entries();
    let fill = "cat /dev/zero > \"$XDG_STATE_HOME/filler\" 2>/dev/null || true; ";
    let Some(output) = scene.mounted(&format!("{FULL} {fill} exec \"$KEYFOB\" token corp")) else { return };
    assert_eq!(output.success().stdout.trim(), token);
    let store =
        "printf '{\"ServerURL\":\"new.example.org\",\"Username\":\"a\",\"Secret\":\"pw-new\"}' | \"$KEYFOB\" docker store";
    let output = scene.mounted(&format!("{FULL} {fill} {store}")).unwrap();
    assert!(output.code == Some(1) && output.stdout.contains("space") && output.stdout.contains("keyfob/v1"), "{output:?}");
    let store = "printf 'protocol=https\\nhost=new.example.org\\nusername=a\\npassword=pw-new\\n\\n' | \"$KEYFOB\" git store";
    let output = scene.mounted(&format!("{FULL} {fill} {store}")).unwrap();
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.lines().count()), (Some(0), "", 1), "{output:?}");
    scene.entries_answer();
    scene.still_answers(&token);
}

#[test]
fn in_a_read_only_home_a_cached_token_answers_and_a_renewal_spends_nothing() {
    let (scene, token) = Scene::signed_in();
    let Some(output) = scene.mounted(&format!("{READ_ONLY} exec \"$KEYFOB\" token corp")) else { return };
    assert_eq!(output.success().stdout.trim(), token);
    let get = "printf 'protocol=https\\nhost=git.example.com\\n\\n' | \"$KEYFOB\" git get";
    let output = scene.mounted(&format!("{READ_ONLY} {get}")).unwrap().success();
    assert!(output.stdout.contains(&token) && output.stderr.is_empty(), "{output:?}");
    let scene = expired();
    let output = scene.mounted(&format!("{READ_ONLY} exec \"$KEYFOB\" token corp")).unwrap();
    misconfigured(&output, &["keyfob/v1", "ead-only"]);
    let output = scene.mounted(&format!("{READ_ONLY} {get}")).unwrap();
    one_error(&output);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "quit=1\n"), "{output:?}");
    renews_afterwards(&scene);
}

#[test]
fn in_a_read_only_home_a_first_sign_in_is_refused_before_anybody_is_asked() {
    let scene = Scene::new();
    let Some(output) = scene.mounted(&format!("{READ_ONLY} exec \"$KEYFOB\" login corp")) else { return };
    misconfigured(&output, &["keyfob", "ead-only"]);
    assert_eq!((scene.server.counts(), scene.home.browser_runs().len()), (Default::default(), 0));
    let output =
        scene.mounted(&format!("{READ_ONLY} printf 'protocol=https\\nhost=x.example\\n\\n' | \"$KEYFOB\" git get")).unwrap();
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""), "{output:?}");
}
