//! One connection through the proxy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::resp::Commands;
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
    let (up, up_held) = mpsc::channel(HELD_PIECES_MAX);
    let (down, down_held) = mpsc::channel(HELD_PIECES_MAX);
    // Weak, so that the way down ends with the server.
    let answers = Some(down.downgrade());
    tokio::try_join!(
        read(
            shared,
            Direction::Up,
            client_reads,
            up,
            answers,
            &server_spoke
        ),
        write(shared, Direction::Up, up_held, server_writes),
        read(
            shared,
            Direction::Down,
            server_reads,
            down,
            None,
            &server_spoke
        ),
        write(shared, Direction::Down, down_held, client_writes),
    )?;
    Ok(())
}

/// Reads one direction to its end; in the place of a server, answers what it reads.
async fn read(
    shared: &Shared,
    direction: Direction,
    mut from: impl AsyncRead + Unpin,
    hold: mpsc::Sender<Piece>,
    answers: Option<mpsc::WeakSender<Piece>>,
    server_spoke: &AtomicBool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    let (mut number, mut last_due) = (0, Duration::ZERO);
    let mut commands = Commands::default();
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        if !count(shared, direction, read, server_spoke) {
            continue;
        }
        number += 1;
        let mode = *shared.mode.borrow();
        let latency = match (direction, mode) {
            (Direction::Up, _) => Duration::ZERO,
            (Direction::Down, Mode::Bandwidth { bytes_per_s }) => {
                Duration::from_secs_f64(read as f64 / f64::from(bytes_per_s.max(1)))
            }
            (Direction::Down, _) => shared.latency(number),
        };
        // Bytes queue behind each other, replies do not.
        last_due = match mode {
            Mode::Bandwidth { .. } => last_due.max(shared.now()) + latency,
            _ => last_due.max(shared.now() + latency),
        };
        let (to, bytes) = match (mode, &answers) {
            (Mode::Answer(text), Some(answers)) => {
                let whole = commands.whole(bytes);
                (answers.upgrade(), text.as_bytes().repeat(whole))
            }
            _ => (Some(hold.clone()), bytes.to_vec()),
        };
        let piece = Piece {
            due: last_due,
            bytes,
        };
        let Some(to) = to else { return Ok(()) };
        if to.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

/// Writes what is held when it is due, then closes the other side.
async fn write(
    shared: &Shared,
    direction: Direction,
    mut held: mpsc::Receiver<Piece>,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let mut mode = shared.mode.subscribe();
    let mut carried = 0;
    while let Some(Piece { due, bytes }) = held.recv().await {
        tokio::time::sleep(due.saturating_sub(shared.now())).await;
        // The proxy itself ends before the sender of modes does.
        let _ = mode.wait_for(|mode| *mode != Mode::Stall).await;
        let now = *mode.borrow();
        match now {
            Mode::Slice { bytes: size, every } if direction == Direction::Down => {
                for part in bytes.chunks(size.max(1) as usize) {
                    to.write_all(part).await?;
                    tokio::time::sleep(every).await;
                }
            }
            Mode::CloseAfter { bytes: most } if direction == Direction::Down => {
                let left = (most as usize).saturating_sub(carried);
                carried += bytes.len();
                to.write_all(bytes.get(..left).unwrap_or(&bytes)).await?;
                if carried >= most as usize {
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
            }
            _ => to.write_all(&bytes).await?,
        }
    }
    to.shutdown().await
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
