//! A SIP peer by hand: it sends what a test writes, and hands over what comes, message by message.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned,
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message as Frame, WebSocket};

/// One socket towards the bridge.
#[derive(Debug)]
pub struct Peer {
    wire: Wire,
    /// Where it is.
    pub local: SocketAddr,
    /// What came while something else was waited for.
    inbox: VecDeque<Message>,
}

#[derive(Debug)]
enum Wire {
    Udp { socket: UdpSocket, bridge: Option<SocketAddr> },
    Stream(BufReader<Box<dyn Octets>>, &'static str),
    Socket(Box<WebSocket<Box<dyn Octets>>>, &'static str),
}

/// What a message can be written to and read from.
pub trait Octets: Debug + Read + Send + Write {}

impl<T: Debug + Read + Send + Write> Octets for T {}

/// One message, as text.
#[derive(Clone, Debug)]
pub struct Message {
    pub text: String,
}

/// A dialog as the peer sees it.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Where requests are aimed.
    pub target: String,
    /// Ours, with tag.
    pub from: String,
    /// Theirs, with a tag once there is one.
    pub to: String,
    pub call_id: String,
    pub sequence: u32,
}

impl Peer {
    /// A datagram socket on the loopback address of the bridge's family.
    pub fn udp(bridge: SocketAddr) -> Self {
        let socket = UdpSocket::bind((loopback(bridge), 0)).unwrap();
        Self::of_socket(socket, Some(bridge))
    }

    /// A datagram socket that answers whoever calls it.
    pub fn listening(host: &str) -> Self {
        Self::of_socket(UdpSocket::bind((host, 0)).unwrap(), None)
    }

    /// A connection to the bridge.
    pub fn tcp(bridge: SocketAddr) -> Self {
        Self::of_stream(connected(bridge), |stream| Wire::stream(stream, "TCP"))
    }

    /// The connection that the bridge opens to this listener.
    pub fn accepted(listener: &TcpListener) -> Self {
        Self::of_stream(listener.accept().unwrap().0, |stream| Wire::stream(stream, "TCP"))
    }

    /// A connection inside TLS.
    pub fn tls(bridge: SocketAddr, client: &Arc<ClientConfig>) -> Self {
        Self::of_stream(connected(bridge), |stream| Wire::stream(secured(stream, client), "TLS"))
    }

    /// The connection inside TLS that the bridge opens to this listener.
    pub fn tls_accepted(listener: &TcpListener, server: &Arc<ServerConfig>) -> Self {
        let session = ServerConnection::new(Arc::clone(server)).unwrap();
        Self::of_stream(listener.accept().unwrap().0, |stream| {
            Wire::stream(StreamOwned::new(session, stream), "TLS")
        })
    }

    /// A WebSocket of a browser.
    pub fn websocket(bridge: SocketAddr) -> Self {
        Self::of_stream(connected(bridge), |stream| Wire::socket(Box::new(stream), "WS"))
    }

    /// A WebSocket inside TLS.
    pub fn secure_websocket(bridge: SocketAddr, client: &Arc<ClientConfig>) -> Self {
        Self::of_stream(connected(bridge), |stream| {
            Wire::socket(Box::new(secured(stream, client)), "WSS")
        })
    }

    fn of_socket(socket: UdpSocket, bridge: Option<SocketAddr>) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let local = socket.local_addr().unwrap();
        Self { wire: Wire::Udp { socket, bridge }, local, inbox: VecDeque::new() }
    }

    fn of_stream(stream: TcpStream, wire: impl FnOnce(TcpStream) -> Wire) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let local = stream.local_addr().unwrap();
        Self { wire: wire(stream), local, inbox: VecDeque::new() }
    }

    /// As it stands in a Via.
    pub fn transport(&self) -> &'static str {
        match self.wire {
            Wire::Udp { .. } => "UDP",
            Wire::Stream(_, transport) | Wire::Socket(_, transport) => transport,
        }
    }

    /// What it calls itself: a browser does not know its address (RFC 7118 §5).
    fn host(&self) -> String {
        match self.wire {
            Wire::Socket(..) => "browser.invalid".to_owned(),
            Wire::Udp { .. } | Wire::Stream(..) => self.local.to_string(),
        }
    }

    fn contact(&self) -> String {
        let parameter = match self.transport() {
            "UDP" => "",
            "TCP" => ";transport=tcp",
            "TLS" => ";transport=tls",
            _ => ";transport=ws",
        };
        format!("<sip:raw@{}{parameter}>", self.host())
    }

    /// A Via line with a branch of its own.
    pub fn via(&self) -> String {
        format!("SIP/2.0/{} {};branch=z9hG4bK-{};rport", self.transport(), self.host(), next())
    }

    /// A dialog that this peer is about to begin.
    pub fn dialog(&self, uri: &str) -> Dialog {
        let number = next();
        Dialog {
            target: uri.to_owned(),
            from: format!("<sip:raw@{}>;tag=t{number}", self.local),
            to: format!("<{uri}>"),
            call_id: format!("call-{number}@{}", self.local.ip()),
            sequence: 1,
        }
    }

    /// A complete request; `extra` are whole header lines, `body` is SDP.
    pub fn request(&self, method: &str, dialog: &Dialog, extra: &str, body: &str) -> String {
        let Dialog { target, from, to, call_id, sequence } = dialog;
        let mut text = format!(
            "{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {sequence} {method}\r\nContact: {contact}\r\n{extra}",
            via = self.via(),
            contact = self.contact(),
        );
        if !body.is_empty() && !extra.contains("Content-Type") {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        text
    }

    /// Sends a message as it is.
    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp { socket, bridge } => {
                let bridge = bridge.expect("nobody has called yet");
                assert_eq!(socket.send_to(bytes, bridge).unwrap(), bytes.len());
            }
            Wire::Stream(stream, _) => {
                stream.get_mut().write_all(bytes).unwrap();
                stream.get_mut().flush().unwrap();
            }
            Wire::Socket(socket, _) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                socket.send(Frame::text(text)).unwrap();
            }
        }
    }

    /// Sends one frame of a WebSocket as it is.
    pub fn send_frame(&mut self, frame: Frame) {
        self.try_send_frame(frame).unwrap();
    }

    pub fn try_send_frame(&mut self, frame: Frame) -> tungstenite::Result<()> {
        let Wire::Socket(socket, _) = &mut self.wire else { panic!("it is no WebSocket") };
        socket.send(frame)
    }

    /// The next frame of a WebSocket.
    pub fn read_frame(&mut self) -> Frame {
        let Wire::Socket(socket, _) = &mut self.wire else { panic!("it is no WebSocket") };
        socket.read().unwrap()
    }

    /// Waits until the bridge has closed a stream.
    pub fn wait_closed(&mut self) {
        let ended = match &mut self.wire {
            Wire::Udp { .. } => panic!("there is nothing to close"),
            Wire::Stream(stream, _) => stream.read_to_end(&mut Vec::new()).map(drop),
            Wire::Socket(socket, _) => loop {
                match socket.read() {
                    Ok(frame) if !frame.is_close() => {}
                    Err(tungstenite::Error::Io(error)) => break Err(error),
                    Ok(_) | Err(_) => break Ok(()),
                }
            },
        };
        if let Err(error) = ended {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "it stays open");
        }
    }

    /// The octets of a stream as they come.
    pub fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let Wire::Stream(stream, _) = &mut self.wire else { panic!("it is no stream") };
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Waits for a message that `wanted` accepts; keeps what comes before it.
    pub fn wait(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(index) = self.inbox.iter().position(&wanted) {
            return self.inbox.remove(index).unwrap();
        }
        loop {
            match self.read() {
                Some(message) if wanted(&message) => return message,
                Some(message) => self.inbox.push_back(message),
                None => panic!("it does not come, but {:#?}", self.inbox),
            }
        }
    }

    /// Waits for the final answer to a request with this method.
    pub fn wait_final(&mut self, method: &str) -> Message {
        self.wait(|m| m.status().is_some_and(|s| s >= 200) && m.sequence().1 == method)
    }

    /// Waits for an answer with this status.
    pub fn wait_status(&mut self, status: u16) -> Message {
        self.wait(|message| message.status() == Some(status))
    }

    /// Waits for a request with this method.
    pub fn wait_request(&mut self, method: &str) -> Message {
        self.wait(|message| message.method() == Some(method))
    }

    /// Calls and acknowledges the 200; the dialog that is up then, and the 200.
    pub fn call(&mut self, uri: &str, extra: &str, sdp: &str) -> (Dialog, Message) {
        let mut dialog = self.dialog(uri);
        self.send(&self.request("INVITE", &dialog, extra, sdp));
        let answer = self.wait_final("INVITE");
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        answer.header("To").clone_into(&mut dialog.to);
        answer.uri("Contact").clone_into(&mut dialog.target);
        self.send(&self.request("ACK", &dialog, "", ""));
        (dialog, answer)
    }

    /// Says BYE and waits for the answer to it.
    pub fn hang_up(&mut self, dialog: &mut Dialog) {
        dialog.sequence += 1;
        self.send(&self.request("BYE", dialog, "", ""));
        assert_eq!(self.wait_final("BYE").status(), Some(200));
    }

    /// Answers a request. `tag` is that of its To, unless it has one.
    pub fn answer(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        (extra, body): (&str, &str),
    ) {
        let mut text = format!("SIP/2.0 {status} Whatever\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                let tagged = name != "To" || value.contains(";tag=");
                let tag = if tagged { String::new() } else { format!(";tag={tag}") };
                write!(text, "{name}: {value}{tag}\r\n").unwrap();
            }
        }
        let user = if tag.is_empty() { "raw" } else { tag };
        if !extra.contains("Contact:") {
            write!(text, "Contact: <sip:{user}@{}>\r\n", self.local).unwrap();
        }
        text.push_str(extra);
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.send(&text);
    }

    /// The next message; `None` if the connection is closed or none comes in time.
    fn read(&mut self) -> Option<Message> {
        let bytes = match &mut self.wire {
            Wire::Udp { socket, bridge } => {
                let mut buffer = vec![0; 65_535];
                let (length, from) = socket.recv_from(&mut buffer).ok()?;
                bridge.get_or_insert(from);
                buffer.truncate(length);
                buffer
            }
            Wire::Stream(stream, _) => read_message(stream)?,
            Wire::Socket(socket, _) => loop {
                match socket.read().ok()? {
                    Frame::Text(text) => break text.as_bytes().to_vec(),
                    Frame::Binary(bytes) => break bytes.to_vec(),
                    Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
                    Frame::Close(_) => return None,
                }
            },
        };
        Some(Message { text: String::from_utf8(bytes).expect("the bridge writes text") })
    }
}

impl Message {
    pub fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub fn method(&self) -> Option<&str> {
        self.text.split_once(' ').map(|(first, _)| first).filter(|first| *first != "SIP/2.0")
    }

    /// The request-URI.
    pub fn target(&self) -> &str {
        self.text.split(' ').nth(1).unwrap()
    }

    /// Number and method of CSeq.
    pub fn sequence(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").split_once(' ').unwrap();
        (number.parse().unwrap(), method)
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers(name).into_iter().next();
        found.unwrap_or_else(|| panic!("{name} is missing in:\n{}", self.text))
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split_once("\r\n\r\n").map_or(self.text.as_str(), |(head, _)| head);
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(own, _)| own.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// What stands in the angle brackets of a header.
    pub fn uri(&self, name: &str) -> &str {
        let (_, rest) = self.header(name).split_once('<').unwrap();
        rest.split_once('>').unwrap().0
    }

    /// A parameter of the top Via.
    pub fn via_parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.header("Via").split(';').skip(1);
        parameters.filter_map(|one| one.split_once('=')).find(|(own, _)| *own == name).map(|p| p.1)
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The address and port that the SDP names for audio.
    pub fn media(&self) -> SocketAddr {
        let line = |start: &str| {
            let found = self.body().lines().find_map(|line| line.strip_prefix(start));
            found.unwrap_or_else(|| panic!("{start} is missing in:\n{}", self.text))
        };
        let host: IpAddr = line("c=IN ").split_once(' ').unwrap().1.parse().unwrap();
        let port = line("m=audio ").split(' ').next().unwrap().parse().unwrap();
        SocketAddr::new(host, port)
    }
}

/// Audio at this address in these formats: payload types and, as whole lines, attributes.
pub fn sdp(media: SocketAddr, formats: &str, attributes: &str) -> String {
    let (family, ip) = (if media.is_ipv4() { "IP4" } else { "IP6" }, media.ip());
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {formats}\r\n{attributes}",
        media.port()
    )
}

/// PCMU at an IPv4 address where nobody listens.
pub fn idle_sdp() -> String {
    sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "")
}

fn loopback(other: SocketAddr) -> IpAddr {
    if other.is_ipv4() { [127, 0, 0, 1].into() } else { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) }
}

fn connected(bridge: SocketAddr) -> TcpStream {
    TcpStream::connect(bridge).unwrap()
}

fn secured(
    stream: TcpStream,
    client: &Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), stream)
}

impl Wire {
    fn stream(stream: impl Octets + 'static, transport: &'static str) -> Self {
        Self::Stream(BufReader::new(Box::new(stream)), transport)
    }

    fn socket(stream: Box<dyn Octets>, transport: &'static str) -> Self {
        let mut request = "ws://localhost/".into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        let (socket, _) = tungstenite::client(request, stream).expect("a WebSocket");
        Self::Socket(Box::new(socket), transport)
    }
}

/// One message of a stream. Empty lines before it are keep-alives.
fn read_message(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head == "\r\n" {
            head.clear();
        }
    }
    let message = Message { text: head };
    let mut body = vec![0; message.header("Content-Length").parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some([message.text.into_bytes(), body].concat())
}

/// A number that this process has not used.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How long an answer may take: it does not leave this machine, but that may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
