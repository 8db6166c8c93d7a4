//! Addresses that are refused, calls that reach nobody, and what passes.

use super::*;
use crate::egress::outbox::OperatorCommand;

#[tokio::test]
async fn an_address_that_is_refused_parks_the_destination_and_nothing_is_given_up() {
    for status in [401, 403, 404, 405, 407, 410, 301, 302, 308] {
        let status = StatusCode::from_u16(status).unwrap();
        let (egress, receiver, _) =
            start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.attempts_max = 1).await;
        (0..5).for_each(|_| receiver.answer_next(ScriptedReply::status(status)));
        feed(&egress, 1, ["1", "2"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
        eventually(|| egress.status()[0].parked.is_some()).await;
        let reason = egress.status()[0].parked.clone();
        assert!(reason.is_some_and(|reason| reason.starts_with(&format!("the endpoint answered {status}"))));
        eventually(|| egress.status()[0].parked.is_none()).await;
        let status = finish(egress).await;
        assert_eq!((receiver.calls_count(), status.changes.given_up, status.backlog.rows), (6, 0, 2));
        let calls = receiver.calls();
        assert!(calls.iter().all(|call| call.key() == calls[0].key()), "it goes as it went");
    }
}

#[tokio::test]
async fn an_operator_who_mended_the_other_side_need_not_wait() {
    let hour = Duration::from_secs(3_600);
    // The address, the service behind it, what it thinks of the call.
    for answer in [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_REQUEST] {
        let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |webhook| {
            (webhook.pace.backoff_min, webhook.pace.backoff_max) = (hour, hour)
        })
        .await;
        receiver.answer_next(ScriptedReply::status(answer));
        feed(&egress, 1, vec![(row(0, "1", numbered(1)), 1)]);
        eventually(|| egress.status()[0].changes.failed_calls > 0).await;
        resume_until(&egress, || receiver.calls_count() == 2).await;
        let status = finish(egress).await;
        assert_eq!((status.backlog.rows, status.parked), (1, None), "{answer}");
    }
    // The receiver itself.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut to = webhook(format!("http://{address}/"));
    (to.pace.backoff_min, to.pace.backoff_max) = (hour, hour);
    let (egress, _) = start(Path::new("/nonexistent"), vec![crm(to)]);
    feed(&egress, 1, vec![(row(0, "1", numbered(1)), 1)]);
    eventually(|| egress.status()[0].changes.failed_calls > 0).await;
    drop(socket);
    let options = ReceiveOptions { port: address.port(), ..ReceiveOptions::default() };
    let receiver = WebhookReceiver::start(options).await.unwrap();
    resume_until(&egress, || receiver.calls_count() == 1).await;
    assert_eq!(finish(egress).await.backlog.rows, 1);
}

/// Resumes again and again, since perhaps it does not wait yet.
async fn resume_until(egress: &Egress, is_done: impl Fn() -> bool) {
    let resumed = async {
        while !is_done() {
            egress.order(0, OperatorCommand::Resume).unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, resumed).await.unwrap();
}

#[tokio::test]
async fn a_delete_that_was_given_up_is_tried_again_by_itself() {
    let (egress, receiver, _) = start_with_receiver(ReceiveOptions::default(), |webhook| {
        (webhook.pace.attempts_max, webhook.pace.limit.changes, webhook.pace.retry_deletes) =
            (1, 1, Duration::from_millis(5));
    })
    .await;
    feed(&egress, 1, vec![(row(0, "ann", numbered(1)), 1)]);
    eventually(|| egress.status()[0].backlog.rows == 1).await;
    (0..3).for_each(|_| receiver.answer_next(ScriptedReply::status(StatusCode::BAD_REQUEST)));
    feed(&egress, 2, vec![(row(0, "ann", numbered(1)), -1), (row(0, "bob", numbered(1)), 1)]);
    // Ann's is tried until it is taken; Bob's add, which may be refused too, stays a letter.
    eventually(|| receiver.state()["crm"].get("cart_abandoners").is_none_or(|rows| !rows.contains_key("user_id:ann")))
        .await;
    eventually(|| egress.status()[0].backlog.refused_deletes == 0 && egress.status()[0].backlog.pending == 0).await;
    let status = finish(egress).await;
    assert!(status.backlog.refused <= 1 && status.changes.given_up >= 2, "{status:?}");
}

#[tokio::test]
async fn what_will_pass_is_repeated_for_ever() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.attempts_max = 1).await;
    for status in [408, 409, 423, 425, 429, 500, 502, 503, 504] {
        let header = Some((RETRY_AFTER, "0.001".to_owned()));
        receiver.answer_next(ScriptedReply { header, ..ScriptedReply::status(StatusCode::from_u16(status).unwrap()) });
    }
    feed(&egress, 1, vec![(row(0, "1", numbered(1)), 1)]);
    let status = finish(egress).await;
    assert_eq!((receiver.calls_count(), status.changes.given_up, status.backlog.rows), (10, 0, 1));
}

#[tokio::test]
async fn what_is_too_large_is_halved_at_once() {
    let (egress, receiver, _) =
        start_with_receiver(ReceiveOptions::default(), |webhook| webhook.pace.attempts_max = 3).await;
    receiver.answer_next(ScriptedReply::status(StatusCode::PAYLOAD_TOO_LARGE));
    feed(&egress, 1, ["1", "2", "3", "4"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    let status = finish(egress).await;
    let sizes: Vec<usize> = receiver.calls().iter().map(|call| call.changes().len()).collect();
    assert_eq!((sizes, status.backlog.rows), (vec![4, 2, 2], 4));
}

#[tokio::test]
async fn a_call_that_reached_nobody_is_formed_anew() {
    // Nobody listens there yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let (egress, _) = start(Path::new("/nonexistent"), vec![crm(webhook(format!("http://{address}/")))]);
    feed(&egress, 1, ["ann", "bob"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    eventually(|| egress.status()[0].changes.failed_calls >= 2).await;
    // Ann withdraws before anybody was told of her; Bob changes.
    feed(
        &egress,
        2,
        vec![(row(0, "ann", numbered(1)), -1), (row(0, "bob", numbered(1)), -1), (row(0, "bob", numbered(2)), 1)],
    );
    feed(&egress, 3, vec![(row(0, "cid", numbered(1)), 1)]);
    let failed = egress.status()[0].changes.failed_calls;
    // What was taken before is over.
    eventually(|| egress.status()[0].changes.failed_calls >= failed + 2).await;
    assert_eq!(egress.status()[0].backlog.oldest_pending, Some(Tick::from_ms(1)), "it waits since then");
    drop(socket);
    let receiver =
        WebhookReceiver::start(ReceiveOptions { port: address.port(), ..ReceiveOptions::default() }).await.unwrap();
    let status = finish(egress).await;
    let sent: Vec<String> = receiver.calls().iter().flat_map(changes).collect();
    assert_eq!(sent, ["add cart_abandoners user_id:bob @2", "add cart_abandoners user_id:cid @3"]);
    assert_eq!((status.backlog.rows, status.backlog.is_told()), (2, true));
}

#[tokio::test]
async fn an_answer_without_an_end_is_waited_for_once() {
    // Answers with a head and goes on for ever.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut request = vec![0; 64 * 1024];
            _ = stream.read(&mut request).await;
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
            open.push(stream);
        }
    });
    let mut to = webhook(format!("http://{address}/"));
    to.pace.limit.changes = 1;
    let (egress, _) = start(Path::new("/nonexistent"), vec![crm(to)]);
    // Were each waited for, this would take longer than the deadline.
    let users: Vec<String> = (0..200).map(|user| user.to_string()).collect();
    feed(&egress, 1, users.iter().map(|user| (row(0, user, numbered(1)), 1)).collect());
    let status = finish(egress).await;
    assert_eq!((status.changes.acknowledged, status.changes.failed_calls), (200, 0));
    server.abort();
}
