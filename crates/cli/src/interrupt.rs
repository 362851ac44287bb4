//! Ctrl-C.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a run that Ctrl-C ended: 128 and the number of the signal, as shells have it.
pub const EXIT_CODE: u8 = 130;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C only asks for an end; pressed again it ends the program at once.
pub fn watch() {
    // Where the handler cannot be set, Ctrl-C ends the program as it does anywhere else.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            crate::tui::restore();
            exit(i32::from(EXIT_CODE));
        }
    });
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
