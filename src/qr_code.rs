//! Addresses as QR codes (ISO/IEC 18004), drawn with the half blocks of a terminal.
use qrcode::{Color, EcLevel, QrCode};

/// The empty margin that readers want, in modules; the standard's four are more than they need, and take room.
const MARGIN: usize = 2;
/// The lines that a question below takes, beside the text.
const BELOW: usize = 3;

/// Returns `address` as a QR code of lines that fit into `columns`; none where it and `text` below it are taller than `rows`.
///
/// One character is two modules high. Both colours are set, black on white, so that it is the same on dark and light terminals. Pure.
pub(crate) fn draw(address: &str, text: &str, columns: usize, rows: usize) -> Option<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.to_colors();
    let side = width + 2 * MARGIN;
    let below: usize = text.lines().map(|line| line.chars().count() / columns.max(1) + 1).sum();
    // the last column stays free: some terminals begin a new line after it
    if side >= columns || side.div_ceil(2) + below + BELOW > rows {
        return None;
    }
    let is_dark = |row: usize, column: usize| {
        let inside = (MARGIN..MARGIN + width).contains(&row) && (MARGIN..MARGIN + width).contains(&column);
        inside && modules[(row - MARGIN) * width + column - MARGIN] == Color::Dark
    };
    let mut drawn = String::new();
    for row in (0..side).step_by(2) {
        drawn.push_str("\u{1b}[0;30;47m");
        drawn.extend((0..side).map(|column| match (is_dark(row, column), is_dark(row + 1, column)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        drawn.push_str("\u{1b}[0m\n");
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what was drawn as another program does: from its characters to pixels to text.
    fn decode(drawn: &str) -> String {
        let lines: Vec<Vec<char>> = drawn
            .lines()
            .map(|line| line.strip_prefix("\u{1b}[0;30;47m").unwrap().strip_suffix("\u{1b}[0m").unwrap().chars().collect())
            .collect();
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
        assert_eq!(grids.len(), 1, "{drawn}");
        grids[0].decode().unwrap().1
    }

    #[test]
    fn what_is_drawn_is_read_back_by_another_program() {
        let long = format!("https://sso.example.com/authorize?x={}", "aB3-_%20".repeat(60));
        for address in ["https://github.com/login/device", "https://sso.example.com/device?user_code=ABCD-EFGH", &long] {
            assert_eq!(decode(&draw(address, "below", 200, 100).unwrap()), address);
        }
    }

    #[test]
    fn nothing_is_drawn_that_would_not_be_seen_whole() {
        let address = "https://sso.example.com/device?user_code=ABCD-EFGH";
        let drawn = draw(address, "below", 200, 100).unwrap();
        let (rows, columns) = (drawn.lines().count(), drawn.lines().next().unwrap().chars().count() - 14);
        assert!(rows <= 20 && columns <= 40, "{rows} {columns}");
        assert!(draw(address, "below", columns + 1, rows + BELOW + 1).is_some());
        assert!(draw(address, "below", columns, 100).is_none());
        assert!(draw(address, "below", 200, rows + BELOW).is_none());
        assert!(draw(address, &"x".repeat(columns + 1), columns + 1, rows + BELOW + 1).is_none(), "a long text takes two lines");
        assert!(draw(&"x".repeat(3000), "", 1000, 1000).is_none(), "too long for any code");
        assert!(draw(address, "below", 0, 0).is_none());
    }
}
