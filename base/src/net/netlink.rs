//! The netlink transport: a socket, and a buffer of requests that is sent at once.
//!
//! In: messages appended by `route` and `nft`, each with a label. Out: `Ok`, or the label of the
//! first message that the kernel refused together with its reason. Blocking, because the kernel
//! answers within the send call; called from single-threaded helpers and from short blocking sections.
#![allow(unsafe_code)] // socket, setsockopt, send and recv on AF_NETLINK have no safe wrapper here.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const SOL_NETLINK: i32 = 270;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
const ERROR_TEXT: u16 = 1;

/// Which part of the kernel a socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes.
    Route = 0,
    /// nftables.
    Netfilter = 12,
}

/// What the kernel refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// The label of the refused message, or the step of the transport that failed.
    pub what: String,
    /// The kernel's own words, where it has some.
    pub text: Option<String>,
    /// The error number.
    pub source: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(refused.source.kind(), refused.to_string())
    }
}

fn failed(what: &str) -> Refused {
    Refused { what: what.to_owned(), text: None, source: io::Error::last_os_error() }
}

/// A netlink socket. It acts on the network namespace in which it was made, whoever holds it.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
}

impl From<OwnedFd> for Netlink {
    fn from(fd: OwnedFd) -> Self {
        let this = Self { fd };
        this.tune();
        this
    }
}

impl From<Netlink> for OwnedFd {
    fn from(socket: Netlink) -> Self {
        socket.fd
    }
}

impl std::os::fd::AsFd for Netlink {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Netlink {
    /// Opens a socket in the caller's network namespace.
    pub fn open(protocol: Protocol) -> Result<Self, Refused> {
        // SAFETY: plain system call; the result is checked before it becomes an owned descriptor.
        let fd =
            unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol as i32) };
        if fd < 0 {
            return Err(failed("open a netlink socket"));
        }
        // SAFETY: `fd` is a fresh descriptor that nobody else owns.
        Ok(Self::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn tune(&self) {
        let set = |level: i32, option: i32, value: i32| {
            // SAFETY: the option value is an int that outlives the call. Failure only costs comfort.
            unsafe {
                libc::setsockopt(self.fd.as_raw_fd(), level, option, (&raw const value).cast(), 4);
            }
        };
        set(SOL_NETLINK, NETLINK_CAP_ACK, 1);
        set(SOL_NETLINK, NETLINK_EXT_ACK, 1);
        set(libc::SOL_SOCKET, libc::SO_SNDBUF, 1 << 20);
        set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 4 << 20);
    }

    /// Sends all requests in one write and waits until the kernel has answered the last of them
    /// or refused any of them.
    pub fn send(&self, requests: Requests) -> Result<(), Refused> {
        let Requests { buf, labels, awaited, .. } = requests;
        let Some(last) = awaited.last().copied() else { return Ok(()) };
        // SAFETY: the buffer is valid for its length during the call.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), 0) };
        if sent < 0 {
            return Err(failed("send to netlink"));
        }
        let mut answer = vec![0u8; 32 << 10];
        loop {
            // SAFETY: the buffer is valid and writable for its length during the call.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
            if got < 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(failed("receive from netlink"));
            }
            for (seq, code, text) in Answers(&answer[..usize::try_from(got).unwrap_or(0)]) {
                if code != 0 {
                    let what =
                        labels.get(seq as usize).cloned().unwrap_or_else(|| "netlink request".to_owned());
                    return Err(Refused { what, text, source: io::Error::from_raw_os_error(-code) });
                }
                if seq == last {
                    return Ok(());
                }
            }
        }
    }
}

/// Walks the error and acknowledgement messages of one datagram: (sequence, code, text).
struct Answers<'a>(&'a [u8]);

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl Iterator for Answers<'_> {
    type Item = (u32, i32, Option<String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let len = u32_at(self.0, 0)? as usize;
            let (kind, flags, seq) = (u16_at(self.0, 4)?, u16_at(self.0, 6)?, u32_at(self.0, 8)?);
            let message = self.0.get(..len.max(NLMSG_HEADER))?;
            self.0 = self.0.get(aligned(len.max(NLMSG_HEADER))..).unwrap_or(&[]);
            if kind != NLMSG_ERROR {
                continue;
            }
            let code = u32_at(message, NLMSG_HEADER)?.cast_signed();
            let text =
                if flags & NLM_F_ACK_TLVS == 0 { None } else { error_text(message.get(36..).unwrap_or(&[])) };
            return Some((seq, code, text));
        }
    }
}

fn error_text(mut attributes: &[u8]) -> Option<String> {
    loop {
        let (len, kind) = (u16_at(attributes, 0)? as usize, u16_at(attributes, 2)?);
        if kind & 0x3fff == ERROR_TEXT {
            let text = attributes.get(4..len)?;
            return Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        }
        attributes = attributes.get(aligned(len.max(4))..)?;
    }
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// A buffer of netlink messages under construction.
#[derive(Debug, Default)]
pub struct Requests {
    buf: Vec<u8>,
    labels: Vec<String>,
    awaited: Vec<u32>,
    start: usize,
}

impl Requests {
    /// Appends one message: `header` is the fixed part, `fill` adds the attributes. With `ack` the
    /// kernel confirms it; errors come back either way.
    pub fn message(
        &mut self,
        head: Head<'_>,
        label: impl Into<String>,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let seq = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        self.labels.push(label.into());
        self.start = self.buf.len();
        let mut flags = head.flags | NLM_F_REQUEST;
        if head.ack {
            flags |= NLM_F_ACK;
            self.awaited.push(seq);
        }
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.extend_from_slice(&head.kind.to_ne_bytes());
        self.buf.extend_from_slice(&flags.to_ne_bytes());
        self.buf.extend_from_slice(&seq.to_ne_bytes());
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.extend_from_slice(head.header);
        self.pad();
        fill(&mut Attributes { buf: &mut self.buf });
        let len = u32::try_from(self.buf.len() - self.start).unwrap_or(u32::MAX);
        self.buf[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
        self.pad();
    }

    /// Asks for a confirmation of the message appended last.
    pub fn confirm_last(&mut self) {
        if self.labels.is_empty() {
            return;
        }
        let seq = u32::try_from(self.labels.len() - 1).unwrap_or(u32::MAX);
        let at = self.start + 6;
        let flags = u16_at(&self.buf, at).unwrap_or(0) | NLM_F_ACK;
        self.buf[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        self.awaited.push(seq);
    }

    /// True if nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn pad(&mut self) {
        self.buf.resize(aligned(self.buf.len()), 0);
    }
}

/// Type, flags and fixed header of one message.
#[derive(Debug)]
pub struct Head<'a> {
    /// Message type.
    pub kind: u16,
    /// Flags beside `NLM_F_REQUEST`.
    pub flags: u16,
    /// Whether the kernel shall confirm it.
    pub ack: bool,
    /// The fixed part after the netlink header.
    pub header: &'a [u8],
}

/// Writes attributes (type, length, value) behind a message header.
#[derive(Debug)]
pub struct Attributes<'a> {
    buf: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// One attribute with raw bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).expect("attribute values are short");
        self.buf.extend_from_slice(&len.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(value);
        self.buf.resize(aligned(self.buf.len()), 0);
    }

    /// A zero-terminated string.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// A 32-bit number in host order (rtnetlink).
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A 32-bit number in network order (nftables).
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.nest_after(kind, &[], fill);
    }

    /// An attribute that holds a fixed header and then attributes.
    pub fn nest_after(&mut self, kind: u16, header: &[u8], fill: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0; 2]);
        self.buf.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.buf.extend_from_slice(header);
        fill(&mut Attributes { buf: self.buf });
        let len = u16::try_from(self.buf.len() - start).expect("nested attributes are short");
        self.buf[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}
