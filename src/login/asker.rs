//! Names the tool that asks: its base name and first plain word, never more of its arguments, for URLs there can hold passwords.
use crate::terminal::printable;
use std::fs;

/// How far up the process tree is looked.
const GENERATIONS: usize = 8;
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "fish", "busybox", "env"];

/// Returns who asks, as `git fetch`, looking for `tool` among this process's ancestors; `tool` itself where the system does not say.
pub(crate) fn find(tool: &str) -> String {
    let mut ancestors = Vec::new();
    let mut process = "self".to_owned();
    for _ in 0..GENERATIONS {
        let Some(parent) = parent_of(&process) else { break };
        let Ok(line) = fs::read(format!("/proc/{parent}/cmdline")) else { break };
        ancestors.push(line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect());
        process = parent;
    }
    name(tool, &ancestors)
}

fn parent_of(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the second field is a name in parentheses that may hold anything
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.to_owned();
    (parent != "0").then_some(parent)
}

/// Picks the name from the command lines of the ancestors, nearest first. Pure.
fn name(tool: &str, ancestors: &[Vec<String>]) -> String {
    let described = ancestors.iter().filter_map(|words| describe(words)).collect::<Vec<_>>();
    let ours = |(base, _): &&(String, Option<String>)| base == tool;
    let inner =
        |word: &Option<String>| word.as_ref().is_some_and(|word| word.starts_with("credential") || word.starts_with("remote-"));
    let chosen = described
        .iter()
        .filter(ours)
        .find(|(_, word)| !inner(word))
        .or_else(|| described.iter().find(|(base, _)| !SHELLS.contains(&base.as_str()) && !base.starts_with("git-remote")));
    match chosen {
        Some((base, Some(word))) => printable(&format!("{base} {word}")),
        Some((base, None)) => printable(base),
        None => tool.to_owned(),
    }
}

/// Returns a command's base name and first plain word. An interpreter is named by its script.
fn describe(words: &[String]) -> Option<(String, Option<String>)> {
    let base = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".exe").to_owned();
    let mut words = words.iter();
    let mut program = base(words.next()?);
    if program.starts_with("python") || program == "node" || program == "perl" {
        program = base(words.find(|word| !word.starts_with('-'))?);
    }
    let mut first = None;
    while let Some(word) = words.next() {
        if word == "-C" || word == "-c" || word == "--git-dir" || word == "--work-tree" {
            words.next();
        } else if !word.starts_with('-') {
            first = is_plain(word).then(|| word.clone());
            break;
        }
    }
    (!program.is_empty()).then_some((program, first))
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.len() <= 24 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asker_is_the_tool_and_its_first_plain_word() {
        let rows: [(&str, &[&str], &str); 8] = [
            (
                "git",
                &["sh -c keyfob", "/usr/lib/git-core/git remote-https origin https://u:pw@h/x", "git -C dir fetch origin"],
                "git fetch",
            ),
            ("git", &["git credential fill"], "git credential"),
            ("docker", &["docker manifest inspect x"], "docker manifest"),
            ("docker", &["/usr/bin/skopeo copy a b"], "skopeo copy"),
            ("aws", &["/usr/bin/python3 /usr/local/bin/aws sts get-caller-identity"], "aws sts"),
            ("aws", &["terraform -chdir=x plan"], "terraform plan"),
            ("git", &["git https://alice:secret@example.com/"], "git"),
            ("git", &[], "git"),
        ];
        for (tool, lines, expected) in rows {
            let ancestors: Vec<Vec<String>> = lines.iter().map(|line| line.split(' ').map(Into::into).collect()).collect();
            assert_eq!(name(tool, &ancestors), expected, "{lines:?}");
        }
    }
}
