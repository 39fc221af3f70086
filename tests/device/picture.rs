//! The code as a picture: drawn where a terminal can show it whole, read back from what stands on the screen, and never instead of words.
use super::{ASK, Terminal, check, forge};
use crate::support::forge::Forge;

const CODEFUL: &[(&str, &str)] = &[("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")];

/// The lines of the picture on a screen, without their colours.
fn picture(screen: &str) -> Vec<Vec<char>> {
    let drawn = screen.lines().filter_map(|line| line.trim_end().strip_prefix("\u{1b}[0;30;47m")?.strip_suffix("\u{1b}[0m"));
    drawn.map(|line| line.chars().collect()).collect()
}

/// Reads a picture as a phone does.
fn decode(lines: &[Vec<char>]) -> String {
    let (scale, width) = (4, lines[0].len());
    let dark = |x: usize, y: usize| match lines[y / 2][x] {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => !y.is_multiple_of(2),
        _ => false,
    };
    let pixel = |x: usize, y: usize| if dark(x / scale, y / scale) { 0 } else { 255 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width * scale, lines.len() * 2 * scale, pixel);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1);
    grids[0].decode().unwrap().1
}

/// What stands on a terminal of this size with these variables, once the code is shown.
fn screen(forge: &Forge, size: &str, variables: &[(&str, &str)]) -> (String, String) {
    let terminal = Terminal::run_with(forge, "one", &format!("stty {size}; {ASK}"), variables);
    let code = terminal.wait_for_code();
    let screen = terminal.screen();
    forge.server.decide(true);
    terminal.end().success();
    (screen, code)
}

#[test]
fn the_code_can_be_scanned_from_the_screen_and_is_written_below() {
    let forge = forge();
    let (screen, code) = screen(&forge, "rows 50 cols 100", CODEFUL);
    let picture = picture(&screen);
    let address = decode(&picture);
    assert!(address.ends_with(&code) && screen.contains(&address), "{address} {screen}");
    assert!(screen.contains(&format!("enter the code {code}")), "{screen}");
    assert!(picture.len() <= 20 && picture[0].len() <= 40, "{screen}");
    check(&forge);
}

#[test]
fn without_an_address_that_has_the_code_the_plain_one_is_drawn() {
    let forge = forge();
    forge.server.configure(|settings| {
        settings.device_patch =
            Some(std::sync::Arc::new(|answer| drop(answer.as_object_mut().unwrap().remove("verification_uri_complete"))));
    });
    let (screen, code) = screen(&forge, "rows 50 cols 100", CODEFUL);
    let address = decode(&picture(&screen));
    assert!(
        !address.contains(&code) && screen.contains(&format!("open {address} in any browser and enter the code {code}")),
        "{screen}"
    );
    check(&forge);
}

#[test]
fn a_terminal_that_cannot_show_it_gets_the_words_alone() {
    for (size, variables) in [
        ("rows 90 cols 30", CODEFUL),
        ("rows 20 cols 100", CODEFUL),
        ("rows 0 cols 0", CODEFUL),
        ("rows 50 cols 100", &[("TERM", "dumb"), ("LC_ALL", "C.UTF-8")]),
        ("rows 50 cols 100", &[("LC_ALL", "C.UTF-8")]),
        ("rows 50 cols 100", &[("TERM", "xterm-256color"), ("LC_ALL", "C")]),
    ] {
        let forge = forge();
        let (screen, code) = screen(&forge, size, variables);
        assert!(!screen.contains('█') && !screen.contains('\u{1b}'), "{size} {variables:?}: {screen}");
        assert!(screen.contains(&format!("enter the code {code}")), "{size} {variables:?}: {screen}");
        check(&forge);
    }
}

#[test]
fn the_address_to_be_carried_is_drawn_where_there_is_room_for_it() {
    let forge = forge();
    forge.server.configure(|settings| settings.device = false);
    let terminal = Terminal::run_with(&forge, "one", &format!("stty rows 100 cols 200; {ASK}"), CODEFUL);
    terminal.wait_for("paste it here (it is not shown)");
    let screen = terminal.screen();
    let url = screen.lines().find(|line| line.starts_with("http")).unwrap().trim();
    assert_eq!(decode(&picture(&screen)), url);
    crate::support::browser::visit(url, &crate::support::browser::Settings::from(&Default::default()));
    terminal.end().success();
    check(&forge);
}
