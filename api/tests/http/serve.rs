//! Over a real socket: served until told to stop, and streams are told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::bridge::{KEY, house};

async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(wanted) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed before {wanted:?}: {text}");
        text += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    text
}

#[tokio::test]
async fn stopping_ends_streams_with_a_reason() {
    let house = house();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = api::serve(listener, house.api.clone(), async { stopped.await.unwrap() });

    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "stream.ready").await;
        stop.send(()).unwrap();
        read_until(&mut stream, "\"code\":\"stopping\"").await;
    };
    tokio::join!(serving, client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_header_is_dropped() {
    let house = house();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    };

    tokio::select! {
        () = api::serve(listener, house.api.clone(), std::future::pending()) => {}
        () = client => {}
    }
}
