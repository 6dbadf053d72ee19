//! A backend for tests: records what it is sent byte for byte, answers what its script says byte for byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// Its number on that connection, from 0.
    pub(crate) number: usize,
    /// The head with its empty line.
    pub(crate) head: Vec<u8>,
    /// The body as framed on the wire, as far as it was read.
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    /// The head as text.
    pub(crate) fn head(&self) -> &str {
        std::str::from_utf8(&self.head).unwrap()
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head().lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim())
    }
}

/// One thing a script does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends so many bytes `x`, as fast as they are taken.
    Flood(usize),
    /// Does nothing for a while.
    Wait(Duration),
    /// Reads the request's body, where the script is [`early`].
    ReadBody,
    /// Sends back whatever comes, until the other side ends.
    Echo,
    /// Closes the connection.
    Close,
}

/// What is done about one request; the body is read first unless `early`.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    early: bool,
    steps: Vec<Step>,
}

/// These steps after the request's body was read.
pub(crate) fn script(steps: impl Into<Vec<Step>>) -> Script {
    Script { early: false, steps: steps.into() }
}

/// These steps as soon as the head is there.
pub(crate) fn early(steps: impl Into<Vec<Step>>) -> Script {
    Script { early: true, steps: steps.into() }
}

/// These bytes, whatever they are.
pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Script {
    script([Step::Send(bytes.as_ref().to_vec())])
}

/// A 200 with a length, kept alive.
pub(crate) fn ok(body: &str) -> Script {
    raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicUsize,
}

/// A listening backend; dropped, it stops.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of 127.0.0.1 and asks `answer` about each request head.
    pub(crate) async fn start(answer: impl Fn(&Recorded) -> Script + Send + Sync + 'static) -> Self {
        Self::listen(None, answer).await
    }

    /// The same over TLS.
    pub(crate) async fn start_tls(acceptor: TlsAcceptor, answer: impl Fn(&Recorded) -> Script + Send + Sync + 'static) -> Self {
        Self::listen(Some(acceptor), answer).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>, answer: impl Fn(&Recorded) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (state, answer, acceptor) = (shared.clone(), answer.clone(), acceptor.clone());
                all.spawn(async move {
                    match acceptor {
                        None => _ = serve(tcp, connection, &state, &*answer).await,
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                let _ = serve(tls, connection, &state, &*answer).await;
                            }
                        }
                    }
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state, task }
    }

    /// What has arrived so far, in order of completion.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Bytes that the kernel has taken of what the scripts sent.
    pub(crate) fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Waits until so many connections are open; panics after five seconds.
    pub(crate) async fn wait_for_open(&self, count: usize) {
        for _ in 0..500 {
            if self.open() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} connections are open instead of {count}", self.open());
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer = dyn Fn(&Recorded) -> Script + Send + Sync;

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, connection: usize, state: &State, answer: &Answer) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    for number in 0.. {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let mut request = Recorded { connection, number, head, body: Vec::new() };
        let Script { early, steps } = answer(&request);
        if !early {
            read_body(&mut stream, &mut buffer, &mut request).await?;
        }
        state.requests.lock().unwrap().push(request.clone());
        for step in steps {
            match step {
                Step::Send(bytes) => send(&mut stream, &bytes, state).await?,
                Step::Flood(mut left) => {
                    let chunk = vec![b'x'; 64 * 1024];
                    while left > 0 {
                        let now = left.min(chunk.len());
                        send(&mut stream, &chunk[..now], state).await?;
                        left -= now;
                    }
                }
                Step::Wait(time) if early => tokio::time::sleep(time).await,
                Step::Wait(time) => tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    n = stream.read_buf(&mut buffer) => if n? == 0 { return Ok(()) },
                },
                Step::ReadBody => {
                    read_body(&mut stream, &mut buffer, &mut request).await?;
                    if let Some(last) = state.requests.lock().unwrap().iter_mut().find(|r| (r.connection, r.number) == (connection, number))
                    {
                        last.body.clone_from(&request.body);
                    }
                }
                Step::Echo => {
                    while stream.read_buf(&mut buffer).await? > 0 {
                        send(&mut stream, &buffer, state).await?;
                        buffer.clear();
                    }
                    return stream.shutdown().await;
                }
                Step::Close => return stream.shutdown().await,
            }
        }
    }
    Ok(())
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, mut bytes: &[u8], state: &State) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = stream.write(bytes).await?;
        state.sent.fetch_add(n, Ordering::SeqCst);
        bytes = &bytes[n..];
    }
    stream.flush().await
}

async fn read_body<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>, request: &mut Recorded) -> std::io::Result<()> {
    let length: usize = request.header("content-length").map_or(0, |v| v.parse().unwrap());
    let chunked = request.header("transfer-encoding").is_some();
    loop {
        let end = match chunked {
            true => buffer.windows(5).position(|w| w == b"0\r\n\r\n").map(|at| at + 5),
            false => (buffer.len() >= length).then_some(length),
        };
        if let Some(end) = end {
            request.body = buffer.drain(..end).collect();
            return Ok(());
        }
        if stream.read_buf(buffer).await? == 0 {
            request.body = std::mem::take(buffer);
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
