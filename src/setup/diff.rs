//! A change of a file as a unified diff, which `patch` and `git apply` take.

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// Returns the change of the file `name` from `old` to `new` as a diff with one hunk; nothing where they are equal. `None` is a file that is
/// not there.
pub(crate) fn unified(name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Vec<u8> {
    let (before, after) = (lines(old), lines(new));
    if old == new {
        return Vec::new();
    }
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let most = before.len().min(after.len()) - same;
    let tail = before.iter().rev().zip(after.iter().rev()).take(most).take_while(|(one, other)| one == other).count();
    let start = same.saturating_sub(CONTEXT);
    let (old_end, new_end) = (before.len() - tail, after.len() - tail);
    let follow = tail.min(CONTEXT);
    let range = |end: usize| {
        let count = end + follow - start;
        format!("{},{count}", if count == 0 { start } else { start + 1 })
    };
    let named = |sign: &str, content: Option<&[u8]>| format!("{sign} {}\n", if content.is_some() { name } else { "/dev/null" });
    let mut text = (named("---", old) + &named("+++", new)).into_bytes();
    // a file that is made or removed empty has no lines to show
    if before.is_empty() && after.is_empty() {
        return text;
    }
    text.extend(format!("@@ -{} +{} @@\n", range(old_end), range(new_end)).bytes());
    let parts = [
        (b' ', &before[start..same]),
        (b'-', &before[same..old_end]),
        (b'+', &after[same..new_end]),
        (b' ', &before[old_end..old_end + follow]),
    ];
    for (sign, lines) in parts {
        for line in lines {
            text.push(sign);
            text.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                text.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
    text
}

fn lines(text: Option<&[u8]>) -> Vec<&[u8]> {
    text.unwrap_or_default().split_inclusive(|byte| *byte == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let rows: [(Option<&str>, Option<&str>, &str); 8] = [
            (Some("a\n"), Some("a\n"), ""),
            (Some("a\nb\n"), Some("a\nb\nc\n"), "--- f\n+++ f\n@@ -1,2 +1,3 @@\n a\n b\n+c\n"),
            (
                Some("1\n2\n3\n4\n5\n6\n7\n8\n"),
                Some("1\n2\n3\n4\nx\n6\n7\n8\n"),
                "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n",
            ),
            (
                Some("a"),
                Some("a\nb"),
                "--- f\n+++ f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n",
            ),
            (None, Some("a\n"), "--- /dev/null\n+++ f\n@@ -0,0 +1,1 @@\n+a\n"),
            (Some("a\n"), None, "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"),
            (Some("a\na\n"), Some("a\n"), "--- f\n+++ f\n@@ -1,2 +1,1 @@\n a\n-a\n"),
            (Some(""), None, "--- f\n+++ /dev/null\n"),
        ];
        for (old, new, expected) in rows {
            let found = unified("f", old.map(str::as_bytes), new.map(str::as_bytes));
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{old:?} {new:?}");
        }
    }
}
