//! One connection through the proxy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Mode, Shared};

/// Pieces held per direction; a peer that sends more waits.
const HELD_PIECES_MAX: usize = 256;
/// Largest piece.
const PIECE_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Bytes and when they may go on.
struct Piece {
    due: Duration,
    bytes: Vec<u8>,
}

/// Carries a connection until an end closes it or the mode cuts it.
pub(super) async fn carry(shared: &Shared, mut client: TcpStream) {
    let mut mode = shared.mode.subscribe();
    let cut = tokio::select! {
        biased;
        cut = mode.wait_for(|mode| matches!(mode, Mode::Refuse | Mode::Reset)) => {
            cut.is_ok_and(|mode| *mode == Mode::Reset)
        }
        ended = relay(shared, &mut client) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a proxied connection ended");
            }
            false
        }
    };
    if cut {
        // Closing then discards what is unsent and resets.
        let _ = client.set_zero_linger();
    }
}

async fn relay(shared: &Shared, client: &mut TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(shared.upstream).await?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let server_spoke = AtomicBool::new(true);
    let (up, down) = tokio::join!(
        pump(
            shared,
            Direction::Up,
            client_reads,
            server_writes,
            &server_spoke
        ),
        pump(
            shared,
            Direction::Down,
            server_reads,
            client_writes,
            &server_spoke
        ),
    );
    up.and(down)
}

/// Carries one direction to its end, then closes the other side's.
async fn pump(
    shared: &Shared,
    direction: Direction,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    server_spoke: &AtomicBool,
) -> std::io::Result<()> {
    let (hold, mut held) = mpsc::channel::<Piece>(HELD_PIECES_MAX);
    let reading = async move {
        let mut buffer = vec![0; PIECE_BYTES_MAX];
        let (mut number, mut last_due) = (0, Duration::ZERO);
        loop {
            let read = from.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            if !count(shared, direction, read, server_spoke) {
                continue;
            }
            number += 1;
            let latency = match direction {
                Direction::Up => Duration::ZERO,
                Direction::Down => shared.latency(number),
            };
            last_due = last_due.max(shared.now() + latency);
            if hold
                .send(Piece {
                    due: last_due,
                    bytes: bytes.to_vec(),
                })
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    };
    let writing = async move {
        let mut mode = shared.mode.subscribe();
        while let Some(Piece { due, bytes }) = held.recv().await {
            tokio::time::sleep(due.saturating_sub(shared.now())).await;
            // The proxy itself ends before the sender of modes does.
            let _ = mode.wait_for(|mode| *mode != Mode::Stall).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    let (read, written): (std::io::Result<()>, _) = tokio::join!(reading, writing);
    read.and(written)
}

/// Counts a piece and returns whether it is to be carried.
fn count(shared: &Shared, direction: Direction, bytes: usize, server_spoke: &AtomicBool) -> bool {
    match direction {
        Direction::Up => {
            shared.bytes_up.fetch_add(bytes as u64, Ordering::AcqRel);
            if server_spoke.swap(false, Ordering::AcqRel) {
                shared.round_trips.fetch_add(1, Ordering::AcqRel);
            }
            true
        }
        Direction::Down => {
            shared.bytes_down.fetch_add(bytes as u64, Ordering::AcqRel);
            server_spoke.store(true, Ordering::Release);
            let one_less = |left: u32| left.checked_sub(1);
            let swallows = shared
                .swallow
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less)
                .is_ok();
            if swallows {
                shared.swallowed.fetch_add(1, Ordering::AcqRel);
            }
            !swallows
        }
    }
}
