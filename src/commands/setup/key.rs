//! `keyfob setup key`: moves the key that opens the records.
use crate::commands::say;
use crate::config::{Config, Environment};
use crate::failure::{Failure, Kind};
use crate::login::Context;
use crate::os;
use crate::store::rekey::{self, Ended, Moved};
use crate::store::{Settings, SourceKind};
use std::path::PathBuf;

/// Moves the key to `source`, and there to `path` if it is a file; without them to where the settings say.
///
/// # Errors
/// [`Kind::Usage`] for a place that makes no sense, [`Kind::Misconfigured`] where the settings name another; those of [`rekey::run`].
pub(crate) fn run(context: &Context, source: Option<&str>, path: Option<PathBuf>) -> anyhow::Result<()> {
    let config = Config::load(&context.environment)?;
    let settings = context.settings(Some(&config), crate::terminal::is_attended())?;
    let settings = Settings { asking: context.asking(true), ..settings };
    if source.is_none() && settings.key_file.is_none() && settings.source.is_none() && rekey::is_unfinished(&settings)? {
        say(&sentence(&rekey::run(&settings, false)?, None));
        return Ok(());
    }
    let target = target(settings, source, path, setting(&context.environment, &config))?;
    let change = source == Some(SourceKind::Passphrase.word());
    say(&sentence(&rekey::run(&target, change)?, target.source));
    Ok(())
}

/// Returns the setting that says where the key is; none where no setting does.
fn setting(environment: &Environment, config: &Config) -> &'static str {
    if environment.absolute("KEYFOB_KEY_FILE").is_some() {
        "`KEYFOB_KEY_FILE`"
    } else if environment.credential().is_some() {
        "`CREDENTIALS_DIRECTORY`"
    } else if config.store.key_file.is_some() {
        "`key_file` in the table `store`"
    } else {
        "`key` in the table `store`"
    }
}

/// Decides where the key is to go, and returns `settings` as if they named that place. `setting` is the one that names another. Pure.
fn target(settings: Settings, source: Option<&str>, path: Option<PathBuf>, setting: &'static str) -> Result<Settings, Failure> {
    let usage = |what: String| Failure::new(Kind::Usage, what);
    let Some(word) = source else {
        if settings.key_file.is_none() && settings.source.is_none() {
            return Err(usage("it is not said where the key is to go, and no setting says where it is".into())
                .hint("name a place: `keyfob setup key file PATH`, or `keyfob setup key keyring`, `kernel` or `passphrase`"));
        }
        return Ok(settings);
    };
    let Some(kind) = SourceKind::from_word(word) else {
        return Err(usage(format!("there is no place for a key called `{}`", crate::terminal::printable(word)))
            .hint("see `keyfob setup key --help`"));
    };
    let key_file = match (kind, path) {
        (SourceKind::File, Some(path)) if !path.is_absolute() => {
            return Err(usage(format!("the key file `{}` is not an absolute path", os::shown(&path)))
                .hint("name it by a path that begins at the root"));
        }
        (SourceKind::File, Some(path)) => Some(path),
        (SourceKind::File, None) if settings.key_file.is_some() => settings.key_file.clone(),
        (SourceKind::File, None) => {
            return Err(usage("the key is to go to a file, and no file is named".into()).hint("run `keyfob setup key file PATH`"));
        }
        (_, Some(path)) => {
            return Err(usage(format!("only a key file has a path, and `{word}` is none: `{}`", os::shown(&path)))
                .hint(format!("run `keyfob setup key {word}`, or `keyfob setup key file PATH`")));
        }
        (_, None) => None,
    };
    let agrees = match (&settings.key_file, settings.source) {
        (Some(named), _) => key_file.as_ref() == Some(named),
        (None, Some(named)) => named == kind,
        (None, None) => true,
    };
    if !agrees {
        return Err(Failure::new(
            Kind::Misconfigured,
            format!("the setting {setting} names another place for the key, and every other command would go by it"),
        )
        .hint(format!("change {setting} to where the key is to be, and run `keyfob setup key`; or take it away first")));
    }
    let source = key_file.is_none().then_some(kind);
    Ok(Settings { key_file, source, ..settings })
}

/// Says what became of it.
fn sentence(moved: &Moved, wanted: Option<SourceKind>) -> String {
    let to = &moved.to;
    let mut text = match (moved.ended, &moved.from) {
        (Ended::Already, _) if wanted == Some(SourceKind::None) => "there is no key that could be given up\n".to_owned(),
        (Ended::Already, _) => format!("nothing to move, the key is there already: {to}\n"),
        (Ended::Sealed(_), None) => format!("the key was made: {to}\n"),
        (Ended::Sealed(1), Some(from)) => format!("1 record was sealed anew: the key moved from {from} to {to}\n"),
        (Ended::Sealed(count), Some(from)) => format!("{count} records were sealed anew: the key moved from {from} to {to}\n"),
        (Ended::GivenUp, from) => {
            let from = from.as_deref().unwrap_or_default();
            format!(
                "the key in {from} was given up; the next sign-in makes one, unless `key = \"none\"` stands in the table `store`\n"
            )
        }
    };
    for path in &moved.useless {
        text.push_str(&format!(
            "the former key file `{}` is of no more use here; remove it if nothing else uses it\n",
            os::shown(path)
        ));
    }
    if let Some(failure) = &moved.leftover {
        text.push_str(&format!("the former key is still there: {failure}; run `keyfob setup key` again to remove it\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/keys/first";
    const OTHER: &str = "/keys/other";

    fn settings(key_file: Option<&str>, source: Option<SourceKind>) -> Settings {
        Settings {
            state_dir: "/state".into(),
            runtime_dir: None,
            key_file: key_file.map(Into::into),
            handed_over: false,
            source,
            machine_id: None,
            attended: false,
            asking: crate::store::Asking::Nobody(String::new()),
            tell: |_| {},
        }
    }

    #[test]
    fn where_a_key_goes_is_decided_by_the_table() {
        use SourceKind::{File, Kernel, Keyring, None as Nowhere};
        type Place = (Option<&'static str>, Option<SourceKind>);
        const SILENT: Place = (None, None);
        let rows: [(Place, &[&str], Result<Place, Kind>); 21] = [
            (SILENT, &[], Err(Kind::Usage)),
            (SILENT, &["file"], Err(Kind::Usage)),
            (SILENT, &["file", FILE], Ok((Some(FILE), None))),
            (SILENT, &["file", "keys/first"], Err(Kind::Usage)),
            (SILENT, &["keyring"], Ok((None, Some(Keyring)))),
            (SILENT, &["keyring", FILE], Err(Kind::Usage)),
            (SILENT, &["kernel"], Ok((None, Some(Kernel)))),
            (SILENT, &["none"], Ok((None, Some(Nowhere)))),
            (SILENT, &["elsewhere"], Err(Kind::Usage)),
            ((Some(FILE), None), &[], Ok((Some(FILE), None))),
            ((Some(FILE), None), &["file"], Ok((Some(FILE), None))),
            ((Some(FILE), None), &["file", FILE], Ok((Some(FILE), None))),
            ((Some(FILE), None), &["file", OTHER], Err(Kind::Misconfigured)),
            ((Some(FILE), None), &["kernel"], Err(Kind::Misconfigured)),
            // the file wins, as it does everywhere
            ((Some(FILE), Some(Kernel)), &["kernel"], Err(Kind::Misconfigured)),
            ((Some(FILE), Some(Kernel)), &["file", FILE], Ok((Some(FILE), None))),
            ((None, Some(Kernel)), &[], Ok((None, Some(Kernel)))),
            ((None, Some(Kernel)), &["kernel"], Ok((None, Some(Kernel)))),
            ((None, Some(Kernel)), &["keyring"], Err(Kind::Misconfigured)),
            ((None, Some(File)), &["file", FILE], Ok((Some(FILE), None))),
            ((None, Some(Nowhere)), &["file", FILE], Err(Kind::Misconfigured)),
        ];
        for ((file, source), words, expected) in rows {
            let path = words.get(1).map(PathBuf::from);
            let found = target(settings(file, source), words.first().copied(), path, "`key`");
            let found = found.map(|target| (target.key_file, target.source)).map_err(|failure| {
                assert!(!failure.hints.is_empty(), "{failure}");
                failure.kind
            });
            let expected = expected.map(|(file, source)| (file.map(PathBuf::from), source));
            assert_eq!(found, expected, "{file:?} {source:?} {words:?}");
        }
    }

    #[test]
    fn what_became_of_it_is_said_on_a_line_and_what_is_left_to_do_on_others() {
        let moved = |from: Option<&str>, ended| Moved {
            from: from.map(ToOwned::to_owned),
            to: "the key file `/b`".into(),
            ended,
            useless: Vec::new(),
            leftover: None,
        };
        let from = Some("the system's keyring");
        let rows = [
            (moved(None, Ended::Already), None, "nothing to move, the key is there already: the key file `/b`\n"),
            (moved(None, Ended::Already), Some(SourceKind::None), "there is no key that could be given up\n"),
            (moved(None, Ended::Sealed(0)), None, "the key was made: the key file `/b`\n"),
            (
                moved(from, Ended::Sealed(1)),
                None,
                "1 record was sealed anew: the key moved from the system's keyring to the key file `/b`\n",
            ),
            (
                Moved { useless: vec!["/a\n".into()], ..moved(from, Ended::Sealed(2)) },
                None,
                "2 records were sealed anew: the key moved from the system's keyring to the key file `/b`\n\
                 the former key file `/a?` is of no more use here; remove it if nothing else uses it\n",
            ),
            (
                Moved {
                    leftover: Some(Failure::new(Kind::NeedsPerson, "your keyring is locked")),
                    ..moved(from, Ended::Sealed(0))
                },
                None,
                "0 records were sealed anew: the key moved from the system's keyring to the key file `/b`\n\
                 the former key is still there: your keyring is locked; run `keyfob setup key` again to remove it\n",
            ),
        ];
        for (moved, wanted, said) in rows {
            assert_eq!(sentence(&moved, wanted), said);
        }
    }
}
