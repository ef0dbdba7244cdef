//! `raw`: lines from standard input to the server, what it says to standard output. No session in between.

use std::time::Duration;

use postrider_core::TlsFailed;
use postrider_io::Tls;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, stdin};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::cli::{self, Connection};
use crate::connect::{Settings, tcp, tls, tls_failed};
use crate::fault::{Class, Fault};
use crate::show::Out;
use crate::url::{Protocol, Url};

/// The longest line of a server before TLS begins, and the most lines of one reply.
const LINE: usize = 8192;
const LINES: usize = 256;

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub(crate) async fn run(connection: &Connection, raw: &cli::Raw, out: &mut Out) -> Result<(), Fault> {
    let url = match (&connection.imap, &connection.smtp) {
        (Some(url), None) | (None, Some(url)) => url,
        _ => return Err(Fault::usage("which server? Say so with --imap or --smtp, one of them")),
    };
    if url.tls && connection.starttls {
        return Err(Fault::usage(format!("{url} begins with TLS already: leave --starttls out")));
    }
    let protected = url.tls || connection.starttls;
    let settings = Settings {
        url: url.clone(),
        starttls: connection.starttls,
        plaintext_login: false,
        timeout: Duration::from_secs(connection.timeout),
        trace: false,
        login: None,
        tls: if protected { tls(url, connection.ca.as_deref())? } else { Tls::None },
    };
    let mut stream = tcp(&settings).await?;
    if settings.starttls {
        let begun = timeout(settings.timeout, start_tls(&mut stream, url.protocol, out)).await;
        begun.map_err(|_| silent(url))??;
    }
    let stream: Box<dyn Stream> = match settings.tls {
        Tls::Client { config, name, .. } => {
            let handshake = timeout(settings.timeout, TlsConnector::from(config).connect(name, stream)).await;
            let secured = handshake.map_err(|_| silent(url))?;
            Box::new(secured.map_err(|error| tls_failed(url, &TlsFailed(error.to_string().into())))?)
        }
        Tls::None | Tls::Server(_) => Box::new(stream),
    };
    talk(stream, Duration::from_secs(raw.linger), out).await
}

fn silent(url: &Url) -> Fault {
    Fault::new(Class::TryLater, format!("{} was silent for too long", url.place()))
}

fn lost(error: &std::io::Error) -> Fault {
    Fault::new(Class::TryLater, format!("the connection was lost: {error}"))
}

/// Carries lines and answers until the server closes, or a while after standard input has ended.
async fn talk(stream: Box<dyn Stream>, linger: Duration, out: &mut Out) -> Result<(), Fault> {
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let mut lines = BufReader::new(stdin());
    let mut line = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    // Set once standard input has ended.
    let mut until: Option<Instant> = None;
    loop {
        tokio::select! {
            read = from_server.read(&mut buffer) => match read {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    out.octets(&buffer[..read])?;
                    out.flush()?;
                    until = until.map(|_| Instant::now() + linger);
                }
                // Servers often close without saying so in TLS.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(lost(&error)),
            },
            // What was read of a line stays in `line` if another branch is faster.
            read = lines.read_until(b'\n', &mut line), if until.is_none() => {
                let read = read.map_err(|error| Fault::new(Class::Io, format!("cannot read standard input: {error}")))?;
                if read == 0 && line.is_empty() {
                    until = Some(Instant::now() + linger);
                    continue;
                }
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                let send = [text, b"\r\n"].concat();
                line.clear();
                to_server.write_all(&send).await.map_err(|error| lost(&error))?;
                to_server.flush().await.map_err(|error| lost(&error))?;
            }
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                // The answers are here; how the goodbye goes does not matter.
                let _ = to_server.shutdown().await;
                return Ok(());
            }
        }
    }
}

/// Goes as far as STARTTLS, showing it.
async fn start_tls(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    protocol: Protocol,
    out: &mut Out,
) -> Result<(), Fault> {
    reply(stream, protocol, out).await?;
    if protocol == Protocol::Smtp {
        say(stream, "EHLO [127.0.0.1]", out).await?;
        reply(stream, protocol, out).await?;
    }
    let command = match protocol {
        Protocol::Imap => "a STARTTLS",
        Protocol::Pop3 => "STLS",
        Protocol::Smtp => "STARTTLS",
    };
    say(stream, command, out).await?;
    reply(stream, protocol, out).await
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), line: &str, out: &mut Out) -> Result<(), Fault> {
    out.octets(format!("{line}\r\n").as_bytes())?;
    stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(|error| lost(&error))
}

/// Reads a reply, which must be a positive one.
async fn reply(stream: &mut (impl AsyncRead + Unpin), protocol: Protocol, out: &mut Out) -> Result<(), Fault> {
    for _ in 0..LINES {
        let line = read_line(stream).await?;
        out.octets(&line)?;
        out.flush()?;
        let (good, more) = match protocol {
            Protocol::Imap => (
                line.starts_with(b"* OK") || line.starts_with(b"a OK"),
                line.starts_with(b"* ") && !line.starts_with(b"* OK") && !line.starts_with(b"* BYE"),
            ),
            Protocol::Pop3 => (line.starts_with(b"+OK"), false),
            Protocol::Smtp => (line.starts_with(b"2"), line.get(3) == Some(&b'-')),
        };
        if more {
            continue;
        }
        if good {
            return Ok(());
        }
        return Err(Fault::new(Class::Unavailable, "the server does not begin TLS"));
    }
    Err(Fault::new(Class::Protocol, "the server does not come to an end"))
}

/// Reads octet by octet: what follows the line may belong to TLS.
async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() > LINE {
            return Err(Fault::new(Class::Protocol, "the server sent an endless line"));
        }
        let octet = stream.read_u8().await.map_err(|error| lost(&error))?;
        line.push(octet);
    }
    Ok(line)
}
