//! As much of an HTTP/1.1 client as a load generator needs.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Connections kept for the next request.
const IDLE_MAX: usize = 1_024;
/// Largest answer.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Keeps connections to one server alive.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    from: Option<Ipv4Addr>,
    idle: Mutex<Vec<TcpStream>>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Status line and headers as they came.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the server at `addr`; connects when asked.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            from: None,
            idle: Mutex::default(),
        }
    }

    /// The same, in another network of this machine: an address of 127.0.0.0/8.
    #[must_use]
    pub fn from(self, address: Ipv4Addr) -> Self {
        Self {
            from: Some(address),
            ..self
        }
    }

    /// Sends one request and reads its answer. A connection is used again when all went well.
    ///
    /// # Errors
    /// When the server cannot be reached, goes away, or answers what this client cannot read.
    pub async fn get(&self, path: &str) -> std::io::Result<Reply> {
        self.send("GET", path, "", b"").await
    }

    /// As [`Self::get`], with a method, further header lines (each ended by CRLF) and a body.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let kept = self.idle().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let socket = TcpSocket::new_v4()?;
                if let Some(address) = self.from {
                    socket.bind((address, 0).into())?;
                }
                let connection = socket.connect(self.addr).await?;
                connection.set_nodelay(true)?;
                connection
            }
        };
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        connection.write_all(&request).await?;
        let reply = read(&mut connection).await?;
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(reply)
    }

    /// Closes the connections that are kept for later.
    pub fn hang_up(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reply {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

async fn read(connection: &mut TcpStream) -> std::io::Result<Reply> {
    let mut bytes = Vec::with_capacity(8 * 1_024);
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > REPLY_BYTES_MAX || connection.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).map_err(Error::other)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::other("no status"))?;
    let reply = Reply {
        status,
        head,
        body: Vec::new(),
    };
    let length = reply
        .header("content-length")
        .and_then(|length| length.parse::<usize>().ok());
    let length = match length {
        Some(length) if length <= REPLY_BYTES_MAX => length,
        None if status == 304 || status == 204 => 0,
        _ => return Err(Error::other("no length that can be read")),
    };
    while body.len() < length {
        if connection.read_buf(&mut body).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Reply { body, ..reply })
}
