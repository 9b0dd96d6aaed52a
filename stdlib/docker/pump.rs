//! Frames of a log, gathered on the runtime's side.
//!
//! The engine sends each line as a chunk of its own. To take each over to the script's thread by itself costs two changes
//! of thread a line, which is more than everything else; so what has arrived goes over together.

use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions as Query;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::engine::Engine;

/// So many frames go over at once at most, and so many bytes.
const FRAMES: usize = 1024;
const BYTES: usize = 256 << 10;

/// So many heaps wait to be taken: memory stays flat.
const WAITING: usize = 4;

type Frame = Result<LogOutput, bollard::errors::Error>;

/// The frames of a container's log.
pub struct Frames {
    from: Receiver<Vec<Frame>>,
    heap: std::vec::IntoIter<Frame>,
    task: JoinHandle<()>,
}

impl Frames {
    /// Begin to read. Must be called inside of the runtime, or with its handle.
    pub fn new(engine: &Engine, id: &str, query: Query) -> Self {
        let (to, from) = channel(WAITING);
        let (docker, id) = (engine.read().clone(), id.to_owned());
        let task = tokio::spawn(async move {
            let frames = std::pin::pin!(docker.logs(&id, Some(query)));
            pump(frames, &to).await;
        });
        Self {
            from,
            heap: Vec::new().into_iter(),
            task,
        }
    }
}

async fn pump(mut frames: Pin<&mut impl Stream<Item = Frame>>, to: &Sender<Vec<Frame>>) {
    let mut heap = Vec::new();
    let mut bytes = 0;
    loop {
        let next = match heap.is_empty() {
            true => Some(frames.next().await),
            false => match frames.next().now_or_never() {
                Some(next) => Some(next),
                // The connection has its turn; what is not there after it is not there yet.
                None => {
                    tokio::task::yield_now().await;
                    frames.next().now_or_never()
                }
            },
        };
        let (full, ended) = match next {
            Some(Some(frame)) => {
                bytes += frame.as_ref().map_or(0, |output| output.as_ref().len());
                heap.push(frame);
                (heap.len() >= FRAMES || bytes >= BYTES, false)
            }
            Some(None) => (true, true),
            None => (true, false),
        };
        if full {
            bytes = 0;
            if to.send(std::mem::take(&mut heap)).await.is_err() {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        loop {
            if let Some(frame) = self.heap.next() {
                return Poll::Ready(Some(frame));
            }
            match self.from.poll_recv(context) {
                Poll::Ready(Some(heap)) => self.heap = heap.into_iter(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.task.abort();
    }
}
