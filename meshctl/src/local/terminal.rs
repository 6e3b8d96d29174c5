//! A terminal for `exec -t`: a new pair, copied to and from the one at hand.
//!
//! In: the terminal of this process. Out: the inside end for the command; bytes and window sizes pass both ways until
//! the command ends. The terminal at hand is put back as it was.
#![allow(unsafe_code)] // The window size is set by ioctl.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// A pair of terminal ends.
pub struct Terminal {
    inside: OwnedFd,
    before: Termios,
    output: std::thread::JoinHandle<()>,
}

impl Terminal {
    /// Opens a pair and starts copying; `None` if standard input is no terminal.
    pub fn open() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Ok(None) };
        let flags = nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_CLOEXEC;
        let outside = posix_openpt(flags).context("open a terminal")?;
        grantpt(&outside)?;
        unlockpt(&outside)?;
        let name = ptsname_r(&outside)?;
        let inside: OwnedFd = {
            use std::os::unix::fs::OpenOptionsExt;
            std::fs::File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name)?.into()
        };
        copy_size(&outside);
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context("set the terminal to raw")?;
        let mut input = std::fs::File::from(outside.as_fd().try_clone_to_owned()?);
        let mut answers = std::fs::File::from(outside.as_fd().try_clone_to_owned()?);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
                copy_size(&outside);
                if input.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        });
        let output = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut out = std::io::stdout();
            while let Ok(length @ 1..) = answers.read(&mut buffer) {
                if out.write_all(&buffer[..length]).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
        Ok(Some(Self { inside, before, output }))
    }

    /// The end for the command.
    #[must_use]
    pub fn inside(&self) -> RawFd {
        self.inside.as_raw_fd()
    }

    /// Lets the last output through and puts the terminal back.
    pub fn close(self) {
        drop(self.inside);
        // A reader that has panicked has nothing more to show.
        self.output.join().ok();
        tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.before).ok();
    }
}

fn copy_size(to: &PtyMaster) {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: both calls get a pointer to a `winsize` that outlives them; without a size nothing is set.
    unsafe {
        if libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) == 0 {
            libc::ioctl(to.as_raw_fd(), libc::TIOCSWINSZ, &raw const size);
        }
    }
}

/// Width and height of the terminal at hand, if standard output is one.
#[must_use]
pub fn size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a `winsize` that outlives the call.
    let known = unsafe { libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size) } == 0;
    // A terminal that does not know its size says 0.
    let or = |own: u16, usual: usize| if own == 0 { usual } else { usize::from(own).max(2) };
    known.then(|| (or(size.ws_col, 80), or(size.ws_row, 24)))
}
