//! Being told to end: Ctrl-C, and on Unix SIGTERM, as service managers and batch systems send it.

use std::process::exit;
use std::sync::atomic::{AtomicU8, Ordering};

/// The number of the signal of Ctrl-C.
const INTERRUPT: u8 = 2;

/// The number of the signal that came, 0 before one did.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// From here on such a signal only asks for an end; a second one ends the program at once.
pub fn watch() {
    // Where a handler cannot be set, the signal ends the program as it does anywhere else.
    let _ = ctrlc::set_handler(|| take(INTERRUPT));
    #[cfg(unix)]
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM]) {
        std::thread::spawn(move || signals.forever().for_each(|signal| take(signal as u8)));
    }
}

fn take(signal: u8) {
    if SIGNAL.swap(signal, Ordering::Relaxed) != 0 {
        crate::tui::restore();
        exit(i32::from(exit_code()));
    }
}

/// Whether a signal asked for an end.
pub fn requested() -> bool {
    SIGNAL.load(Ordering::Relaxed) != 0
}

/// The exit code of a run that was ended early: 128 and the number of the signal, as shells have it; a key counts as Ctrl-C.
pub fn exit_code() -> u8 {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => 128 + INTERRUPT,
        signal => 128 + signal,
    }
}
