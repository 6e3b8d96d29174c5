//! Writes gathered over one turn of the worker's loop: what all tasks of the turn wrote to a connection leaves in
//! one call. Below TLS and HTTP/2, which write often and little.
//!
//! A write lands in the connection's buffer and marks it dirty; the worker's one flusher task, which runs after
//! the tasks that were queued before it, writes all dirty buffers. No timer, and no delay at low load. A buffer
//! that the socket does not take makes its writer wait, with a waker of its own.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Raw;

/// Beyond this a writer waits for the socket.
const LIMIT: usize = 256 * 1024;
/// A buffer that grew beyond this is given back when it is empty.
const KEEP: usize = 16 * 1024;

/// The flusher of one worker.
#[derive(Debug, Default)]
pub struct Flusher {
    dirty: RefCell<Vec<Rc<Outbox>>>,
    task: RefCell<Option<Waker>>,
}

/// A raw stream whose writes are gathered.
#[derive(Debug)]
pub(super) struct Gathered {
    outbox: Rc<Outbox>,
    flusher: Rc<Flusher>,
}

#[derive(Debug)]
struct Outbox {
    raw: RefCell<Raw>,
    buffer: RefCell<BytesMut>,
    /// Bytes that ever came into the buffer.
    written: Cell<u64>,
    /// In the flusher's list.
    dirty: Cell<bool>,
    /// The writer is gone; what is left is sent if the socket takes it at once.
    orphan: Cell<bool>,
    failed: Cell<Option<io::ErrorKind>>,
    writer: RefCell<Option<Waker>>,
}

impl Flusher {
    /// Starts the flusher of a worker; it ends with the worker's tasks.
    pub fn start() -> Rc<Self> {
        let flusher = Rc::new(Flusher::default());
        let weak = Rc::downgrade(&flusher);
        tokio::task::spawn_local(std::future::poll_fn(move |cx| match weak.upgrade() {
            Some(flusher) => flusher.poll(cx),
            None => Poll::Ready(()),
        }));
        flusher
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        let mut dirty = self.dirty.take();
        dirty.retain(|outbox| outbox.poll_send(cx).is_pending());
        // Writers that were woken run later: nothing was added meanwhile.
        self.dirty.replace(dirty);
        Poll::Pending
    }

    fn add(&self, outbox: &Rc<Outbox>) {
        self.dirty.borrow_mut().push(outbox.clone());
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Outbox {
    /// Sends what is there; ready when it is gone, or never will be.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = self.buffer.borrow_mut();
        let mut raw = self.raw.borrow_mut();
        let mut moved = false;
        let result = loop {
            if buffer.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut *raw).poll_write(cx, &buffer) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero)),
                Poll::Ready(Ok(n)) => {
                    moved = true;
                    buffer.advance(n);
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error.kind())),
                Poll::Pending => break Poll::Pending,
            }
        };
        if let Poll::Ready(result) = result {
            self.dirty.set(false);
            self.failed.set(result.err());
            if buffer.capacity() > KEEP {
                *buffer = BytesMut::new();
            } else {
                buffer.clear();
            }
        }
        if (moved || result.is_ready())
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        if self.orphan.get() { Poll::Ready(()) } else { result.map(drop) }
    }

    fn check(&self) -> io::Result<()> {
        self.failed.get().map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        *self.writer.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Gathered {
    pub(super) fn new(raw: Raw, flusher: Rc<Flusher>) -> Self {
        let outbox = Outbox {
            raw: RefCell::new(raw),
            buffer: RefCell::default(),
            written: Cell::new(0),
            dirty: Cell::new(false),
            orphan: Cell::new(false),
            failed: Cell::new(None),
            writer: RefCell::default(),
        };
        Gathered { outbox: Rc::new(outbox), flusher }
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.outbox.raw.borrow_mut()).poll_read(cx, buf)
    }

    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outbox = &self.outbox;
        outbox.check()?;
        let mut buffer = outbox.buffer.borrow_mut();
        if buffer.len() >= LIMIT {
            return outbox.wait(cx);
        }
        let before = buffer.len();
        for piece in bufs {
            buffer.extend_from_slice(piece);
        }
        let written = buffer.len() - before;
        outbox.written.set(outbox.written.get() + written as u64);
        if written > 0 && !outbox.dirty.replace(true) {
            self.flusher.add(outbox);
        }
        Poll::Ready(Ok(written))
    }

    /// Bytes that were written, and how many of them the socket took.
    pub(super) fn progress(&self) -> (u64, u64) {
        let written = self.outbox.written.get();
        (written, written - self.outbox.buffer.borrow().len() as u64)
    }

    /// The flusher sends soon; only failures of before are told.
    pub(super) fn poll_flush(&self) -> Poll<io::Result<()>> {
        Poll::Ready(self.outbox.check())
    }

    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.check()?;
        if !self.outbox.buffer.borrow().is_empty() {
            return self.outbox.wait(cx);
        }
        Pin::new(&mut *self.outbox.raw.borrow_mut()).poll_shutdown(cx)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.outbox.orphan.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Stream, Wire};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn local<F: Future>(test: F) -> F::Output {
        tokio::task::LocalSet::new().run_until(test).await
    }

    #[tokio::test]
    async fn writes_of_a_turn_leave_together_and_the_limit_holds() {
        local(async {
            let flusher = Flusher::start();
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let mut stream = Stream::Plain(Wire::new(Raw::Memory(near)));
            stream.gather(&flusher);
            stream.write_all(b"one").await.unwrap();
            stream.write_all(b"two").await.unwrap();
            stream.flush().await.unwrap();
            let mut buf = [0; 16];
            assert_eq!(far.read(&mut buf).await.unwrap(), 6);
            let writer = tokio::task::spawn_local(async move {
                stream.write_all(&vec![7; 2 * LIMIT]).await.unwrap();
                stream.write_all(b"end").await.unwrap();
                stream.shutdown().await.unwrap();
            });
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), 2 * LIMIT + 3);
            writer.await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_written_before_the_end_is_sent_and_failures_come_back() {
        local(async {
            let flusher = Flusher::start();
            let (near, mut far) = tokio::io::duplex(1 << 10);
            let mut stream = Stream::Plain(Wire::new(Raw::Memory(near)));
            stream.gather(&flusher);
            stream.write_all(b"last words").await.unwrap();
            drop(stream);
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last words");
            let (near, far) = tokio::io::duplex(1 << 10);
            let mut stream = Stream::Plain(Wire::new(Raw::Memory(near)));
            stream.gather(&flusher);
            drop(far);
            stream.write_all(b"x").await.unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert!(stream.write_all(b"y").await.is_err());
        })
        .await;
    }
}
