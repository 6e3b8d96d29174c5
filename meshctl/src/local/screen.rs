//! What `meshctl up` shows: log lines that scroll, and below them a table that keeps itself current.
//!
//! In: log lines and the world. Out: text for the terminal; without a terminal plain lines and no table. Redrawn at
//! most ten times a second.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};

use super::logs::Line;
use super::mesh::Mesh;
use super::terminal;
use super::world::World;
use crate::render::Table;

const PAUSE: Duration = Duration::from_millis(100);
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightRed,
];

/// The screen of one mesh.
pub struct Screen {
    mesh: Arc<Mesh>,
    /// Whether a table is kept.
    live: bool,
    drawn: usize,
    footer: String,
}

impl Screen {
    /// A screen; `plain` asks for lines only.
    #[must_use]
    pub fn new(mesh: Arc<Mesh>, plain: bool) -> Self {
        let live = !plain && terminal::size().is_some();
        Self { mesh, live, drawn: 0, footer: String::new() }
    }

    /// A line of meshctl itself.
    pub fn say(&mut self, line: &str) {
        self.erase();
        anstream::println!("{line}");
        self.draw();
    }

    /// The line under the table.
    pub fn footer(&mut self, line: String) {
        if !self.live {
            anstream::println!("{line}");
        }
        self.footer = line;
        self.redraw();
    }

    /// Shows log lines, and the table again.
    pub fn logs(&mut self, lines: &[Line]) {
        self.erase();
        let mut out = String::new();
        for line in lines {
            let stream = &line.stream;
            let hash =
                stream.pod.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            let style = Style::new().fg_color(Some(Color::Ansi(COLOURS[hash % COLOURS.len()])));
            out.push_str(&format!("{style}{} {}{style:#} {}\n", stream.pod, stream.container, line.text));
        }
        anstream::print!("{out}");
        self.draw();
    }

    /// Shows the table as it is now.
    pub fn redraw(&mut self) {
        self.erase();
        self.draw();
    }

    /// How long to wait between two redrawings.
    #[must_use]
    pub fn pause() -> Duration {
        PAUSE
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            anstream::print!("\x1b[{}A\r\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        let Some((width, height)) = terminal::size().filter(|_| self.live) else { return };
        let text = {
            let world = self.mesh.world();
            let whole = summary(&world, true);
            let fits = whole.lines().all(|line| line.chars().count() < width);
            if fits { whole } else { summary(&world, false) }
        };
        let mut lines: Vec<String> =
            text.lines().map(|line| line.chars().take(width - 1).collect()).collect();
        if lines.len() + 3 > height / 2 {
            let shown = (height / 2).saturating_sub(3).max(3);
            let more = lines.len().saturating_sub(shown);
            lines.truncate(shown);
            lines.push(format!("... and {more} more (meshctl get pods -A)"));
        }
        let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
        anstream::println!("{dim}{}{dim:#}", "-".repeat(width - 1));
        for (number, line) in lines.iter().enumerate() {
            if number == 0 { anstream::println!("{dim}{line}{dim:#}") } else { anstream::println!("{line}") }
        }
        let footer: String = self.footer.chars().take(width - 1).collect();
        anstream::println!("{bold}{footer}{bold:#}");
        self.drawn = lines.len() + 2;
        // Nothing to be done about a terminal that has gone.
        std::io::stdout().flush().ok();
    }
}

/// One line per workload; where there is little room, without its namespace and restarts.
#[must_use]
pub fn summary(world: &World, roomy: bool) -> String {
    #[derive(Default)]
    struct Row {
        ready: usize,
        pods: usize,
        restarts: u32,
        word: String,
    }
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for pod in world.pods.values() {
        let owner = &pod.plan.owner;
        let row = rows.entry((owner.namespace.clone(), owner.name.clone())).or_default();
        row.pods += 1;
        row.ready += usize::from(pod.ready());
        row.restarts += pod.containers.values().map(|container| container.restarts).sum::<u32>();
        if row.word.is_empty() || !pod.ready() {
            row.word = pod.word();
        }
    }
    let all = ["NAMESPACE", "WORKLOAD", "READY", "RESTARTS", "STATUS"];
    let few = ["WORKLOAD", "READY", "STATUS"];
    let mut table = Table::narrow(if roomy { &all } else { &few });
    for ((namespace, name), row) in rows {
        let ready = format!("{}/{}", row.ready, row.pods);
        match roomy {
            true => table.row([namespace, name, ready, row.restarts.to_string(), row.word]),
            false => table.row([name, ready, row.word]),
        }
    }
    table.to_string()
}
