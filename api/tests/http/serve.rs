//! Over a real socket: served until told to stop, and streams are told.

use std::future::Future;

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
        read_until(&mut stream, "\"code\":\"stopping\"").await
    };
    let (result, _) = joined(serving, client).await;

    assert!(result.is_ok());
}

async fn joined<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::join!(a, b)
}
