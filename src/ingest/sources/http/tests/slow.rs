//! Senders that send a byte now and then, or less than they announced, with the timeouts scaled down.

use tokio::task::JoinSet;

use super::*;

const HEAD: &str = "POST /v1/page HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n";

/// Sends `start`, then a byte a millisecond, for as long as the other side takes it; gives the answer.
async fn trickle(setup: &HttpSetup, start: &str) -> TestReply {
    let mut stream = setup.server.connect().await;
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut answer = Vec::new();
    _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer).await;
    drip.abort();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    TestReply { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn a_byte_now_and_then_is_not_progress() {
    let timeouts = Timeouts { header_read: SHORT, body_read: SHORT, ..Timeouts::default() };
    let setup = setup(timeouts, 20).await;
    let body = format!("{HEAD}content-length: 30000\r\n\r\n");
    let chunked = format!("{HEAD}transfer-encoding: chunked\r\n\r\n7fff\r\n");
    // All connections there may be, and then some who wait for them; and a good one that comes last.
    let mut all = JoinSet::new();
    let setup = Arc::new(setup);
    for _ in 0..20 {
        let (setup, body, chunked) = (setup.clone(), body.clone(), chunked.clone());
        all.spawn(async move {
            assert_ne!(trickle(&setup, "POST /v1/page HTTP/1.1\r\nx: ").await.status, 200);
            assert_eq!(trickle(&setup, &body).await.problem(), problem(408, "body_timeout"));
            assert_eq!(trickle(&setup, &chunked).await.problem(), problem(408, "body_timeout"));
        });
    }
    let health = request("GET", "/healthz", &[], b"");
    assert_eq!(setup.server.send(&health).await.status, 200);
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    assert_eq!(setup.server.send(&health).await.status, 200);
}

#[tokio::test]
async fn less_than_was_announced() {
    let setup = setup(Timeouts { body_read: SHORT, ..Timeouts::default() }, 20).await;
    let send = async |rest: &str| setup.server.send(format!("{HEAD}{rest}").as_bytes()).await;
    for rest in [
        format!("content-length: 1000\r\n\r\n{PAGE}"),
        "transfer-encoding: chunked\r\n\r\n7\r\n{\"userI".to_owned(),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{PAGE}\r\n", PAGE.len()),
        "transfer-encoding: chunked\r\n\r\n".to_owned(),
    ] {
        assert_eq!(send(&rest).await.problem(), problem(408, "body_timeout"), "{rest}");
    }
    assert!(setup.counters.sources().iter().all(|of| of.accepted == 0));
}
