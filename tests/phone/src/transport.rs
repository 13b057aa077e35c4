//! Sockets of a line: UDP and TCP on one port. Bytes in and out, nothing of SIP but the framing.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::Input;
use crate::command::Transport;
use crate::sip;

/// Where a message came from, and where its answer goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    pub transport: Transport,
    pub peer: SocketAddr,
}

type Streams = Arc<Mutex<BTreeMap<SocketAddr, Arc<TcpStream>>>>;

pub struct Sockets {
    line: String,
    address: SocketAddr,
    udp: Arc<UdpSocket>,
    streams: Streams,
    inputs: Sender<Input>,
}

impl Sockets {
    pub fn open(line: &str, bind: SocketAddr, inputs: Sender<Input>) -> io::Result<Self> {
        let (udp, tcp) = bind_both(bind)?;
        let sockets = Self {
            line: line.to_owned(),
            address: udp.local_addr()?,
            udp: Arc::new(udp),
            streams: Streams::default(),
            inputs,
        };
        let (name, udp, inputs) =
            (sockets.line.clone(), Arc::clone(&sockets.udp), sockets.inputs.clone());
        thread::spawn(move || read_datagrams(&name, &udp, &inputs));
        let (name, streams, inputs) =
            (sockets.line.clone(), Arc::clone(&sockets.streams), sockets.inputs.clone());
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                adopt(&name, stream, &streams, &inputs);
            }
        });
        Ok(sockets)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn send(&self, flow: Flow, bytes: &[u8]) -> io::Result<()> {
        match flow.transport {
            Transport::Udp => self.udp.send_to(bytes, flow.peer).map(drop),
            Transport::Tcp => {
                let known = self.streams.lock().expect("not poisoned").get(&flow.peer).cloned();
                let stream = if let Some(stream) = known {
                    stream
                } else {
                    let stream = TcpStream::connect_timeout(&flow.peer, Duration::from_secs(3))?;
                    adopt(&self.line, stream, &self.streams, &self.inputs)
                        .ok_or(io::ErrorKind::NotConnected)?
                };
                (&*stream).write_all(bytes)
            }
        }
    }
}

fn adopt(
    line: &str,
    stream: TcpStream,
    streams: &Streams,
    inputs: &Sender<Input>,
) -> Option<Arc<TcpStream>> {
    stream.set_nodelay(true).ok()?;
    let peer = stream.peer_addr().ok()?;
    let stream = Arc::new(stream);
    streams.lock().expect("not poisoned").insert(peer, Arc::clone(&stream));
    let (line, streams, inputs, read) =
        (line.to_owned(), Arc::clone(streams), inputs.clone(), Arc::clone(&stream));
    thread::spawn(move || {
        read_stream(&line, &read, peer, &inputs);
        streams.lock().expect("not poisoned").remove(&peer);
    });
    Some(stream)
}

fn read_datagrams(line: &str, socket: &UdpSocket, inputs: &Sender<Input>) {
    let mut buffer = vec![0; 65_535];
    loop {
        // An error here is an ICMP report about something sent earlier.
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let flow = Flow { transport: Transport::Udp, peer };
        let bytes = buffer[..length].to_vec();
        if inputs.send(Input::Message { line: line.to_owned(), flow, bytes }).is_err() {
            return;
        }
    }
}

fn read_stream(line: &str, mut stream: &TcpStream, peer: SocketAddr, inputs: &Sender<Input>) {
    let flow = Flow { transport: Transport::Tcp, peer };
    let mut kept = Vec::new();
    let mut buffer = [0; 16_384];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..length]);
        loop {
            let blank = kept.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            kept.drain(..blank);
            let Some(end) = sip::frame(&kept) else { break };
            let bytes: Vec<u8> = kept.drain(..end).collect();
            if inputs.send(Input::Message { line: line.to_owned(), flow, bytes }).is_err() {
                return;
            }
        }
    }
}

fn bind_both(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..50 {
        let udp = UdpSocket::bind(bind)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if bind.port() == 0 => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
