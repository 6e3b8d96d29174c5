//! What people see while an installation goes on.
//!
//! In: what each component does. Out: on a terminal, finished lines that stay and below them a line per component that
//! keeps itself current; elsewhere, one line per finished component and one whenever the reason to wait changes. Called
//! by `install` and `uninstall`.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::local::terminal;

/// Between two drawings.
const PAUSE: Duration = Duration::from_millis(100);
const WHEEL: [&str; 4] = ["|", "/", "-", "\\"];

/// The progress of one command. Commands have one thread.
#[derive(Debug)]
pub struct Progress {
    live: bool,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What goes on: title, and what is waited for.
    active: Vec<(String, String)>,
    drawn: usize,
    turn: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self { live: std::io::stdout().is_terminal(), state: RefCell::default() }
    }
}

impl Progress {
    /// A component begins.
    pub fn begin(&self, title: &str) {
        self.state.borrow_mut().active.push((title.to_owned(), String::new()));
        self.redraw();
    }

    /// What a component waits for.
    pub fn waits(&self, title: &str, reason: &str) {
        let mut state = self.state.borrow_mut();
        let Some((_, shown)) = state.active.iter_mut().find(|(name, _)| name == title) else { return };
        if shown == reason {
            return;
        }
        reason.clone_into(shown);
        drop(state);
        if !self.live && !reason.is_empty() {
            anstream::println!("- {title}: {reason}");
        }
        self.redraw();
    }

    /// A component is done.
    pub fn done(&self, title: &str, line: &str) {
        let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
        self.end(title, &format!("{green}✔{green:#} {line}"));
    }

    /// A component has failed.
    pub fn failed(&self, title: &str, line: &str) {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        self.end(title, &format!("{red}✘{red:#} {line}"));
    }

    /// A line that stays.
    pub fn line(&self, line: &str) {
        self.erase();
        anstream::println!("{line}");
        self.draw();
    }

    /// Takes away what is still shown as going on.
    pub fn clear(&self) {
        self.erase();
        self.state.borrow_mut().active.clear();
    }

    /// Runs a future, and keeps the picture moving meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = tick.tick(), if self.live => self.redraw(),
            }
        }
    }

    fn end(&self, title: &str, line: &str) {
        self.erase();
        anstream::println!("{line}");
        self.state.borrow_mut().active.retain(|(name, _)| name != title);
        self.draw();
    }

    fn redraw(&self) {
        self.erase();
        self.draw();
    }

    fn erase(&self) {
        let drawn = std::mem::take(&mut self.state.borrow_mut().drawn);
        if drawn > 0 {
            anstream::print!("\x1b[{drawn}A\r\x1b[J");
        }
    }

    fn draw(&self) {
        if !self.live {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.turn += 1;
        let wheel = WHEEL[state.turn % WHEEL.len()];
        let width = terminal::size().map_or(80, |(width, _)| width);
        for (title, reason) in &state.active {
            let line = if reason.is_empty() { title.clone() } else { format!("{title}: {reason}") };
            let line: String =
                line.lines().next().unwrap_or_default().chars().take(width.saturating_sub(3)).collect();
            anstream::println!("{wheel} {line}");
        }
        state.drawn = state.active.len();
        // Nothing to be done about a terminal that has gone.
        std::io::stdout().flush().ok();
    }
}
