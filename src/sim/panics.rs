//! A task that panics ends the daemon. Here a runtime would swallow it, so each is counted on its thread.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// A course begins.
pub(super) fn none_yet() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            COUNT.set(COUNT.get() + 1);
            before(panic);
        }));
    });
    COUNT.set(0);
}

/// How many there were since.
pub(super) fn count() -> usize {
    COUNT.get()
}
