//! Processes that meet, with strangers among them.

use std::io::{Read, Write};
use std::thread;

use super::*;
use crate::cluster::Introduction;

/// Addresses of this machine at which nobody listens.
fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<Listener> = (0..count).map(|_| Listener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// A start of a process.
fn own(process: usize, processes: usize, token: &str, parts: &[&str]) -> Arc<OwnIdentity> {
    let parts = parts.iter().map(|name| ((*name).to_owned(), 1)).collect();
    let introduction = Introduction { token: None, parts };
    let run = u64::from_le_bytes(nonce().unwrap()[..8].try_into().unwrap());
    Arc::new(OwnIdentity {
        peer: IntroducedPeer::own(run, (process, processes), 1, &introduction),
        key: token.as_bytes().into(),
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn meet_as(own: Arc<OwnIdentity>, hosts: &[String]) -> Result<Vec<Connections>, MeshError> {
    block_on(Mesh::meet(own, hosts, &Awaited::default())).map(|(there, _)| there)
}

fn meet(process: usize, hosts: &[String]) -> Result<Vec<Connections>, MeshError> {
    meet_as(own(process, hosts.len(), "token", &[]), hosts)
}

/// Connects as soon as somebody listens.
fn connected(address: &str) -> Connection {
    loop {
        match Connection::connect(address) {
            Ok(connection) => return connection,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Calls as soon as somebody listens; gives what comes of it.
fn called(address: &str, own: &OwnIdentity, wanted: usize) -> Result<(), NotMet> {
    loop {
        match block_on(call(address, own, wanted, ConnectionPurpose::Workers)) {
            Err(NotMet::Yet(reason)) if reason.contains("refused") => thread::sleep(Duration::from_millis(5)),
            called => return called.map(drop),
        }
    }
}

const HEAD: &[u8] = b"deltaic cluster \0\x02";

#[test]
fn processes_meet_among_strangers() {
    let hosts = addresses(3);
    let met: Vec<_> = thread::scope(|scope| {
        let first = scope.spawn(|| meet(0, &hosts));
        // What was said by one who was let in is said once more by one who does not know the token.
        let replayed = {
            let (to, from) = (connected(&hosts[0]), own(1, 3, "token", &[]));
            let proxy = Listener::bind("127.0.0.1:0").unwrap();
            let address = proxy.local_addr().unwrap().to_string();
            let calls = scope.spawn(move || called(&address, &from, 0));
            let (caller, _) = proxy.accept().unwrap();
            let recorded = record(caller, to);
            assert_eq!(calls.join().unwrap(), Ok(()));
            recorded
        };
        // One that says nothing, one that says something else, one that goes, one that says all of that, one of another version.
        let silent = connected(&hosts[0]);
        let mut others = Vec::new();
        let endless = [HEAD, &[7; 1 << 20]].concat();
        for said in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0; 8],
            vec![0xff; 4_096],
            b"deltaic cluste".to_vec(),
            [HEAD, &[0; 32 + 32 + 4]].concat(),
            b"deltaic cluster \0\x01\0\x01\0\x03".to_vec(),
            endless,
            replayed,
        ] {
            let mut other = connected(&hosts[0]);
            // It may be let go before all is written.
            _ = other.write_all(&said);
            others.push(other);
        }
        drop(connected(&hosts[0]));
        let refused = called(&hosts[0], &own(1, 3, "another token", &[]), 0).unwrap_err();
        assert!(matches!(&refused, NotMet::Yet(why) if why.contains("it has another token")), "{refused:?}");
        let rest = [1, 2].map(|process| {
            scope.spawn({
                let hosts = &hosts;
                move || meet(process, hosts)
            })
        });
        let met = [first].into_iter().chain(rest).map(|process| process.join().unwrap().unwrap()).collect();
        drop((silent, others));
        met
    });
    for (process, there) in met.iter().enumerate() {
        for (other, connections) in there.iter().enumerate() {
            assert!(connections.iter().all(|there| there.is_some() == (other != process)));
        }
    }
    // Each is connected with whom it takes it for, for what it takes it for, and nothing of the greeting is left.
    let each = || (0..3).flat_map(|process| (0..3).map(move |other| (process, other))).filter(|(a, b)| a != b);
    for (process, other) in each() {
        for purpose in ConnectionPurpose::ALL {
            let mut connection = &met[process][other][purpose as usize].as_ref().unwrap().connection;
            connection.set_nonblocking(false).unwrap();
            connection.write_all(&[process as u8, other as u8, purpose as u8]).unwrap();
        }
    }
    for (process, other) in each() {
        for purpose in ConnectionPurpose::ALL {
            let there = met[process][other][purpose as usize].as_ref().unwrap();
            let mut heard = [0; 3];
            (&there.connection).read_exact(&mut heard).unwrap();
            assert_eq!(heard, [other as u8, process as u8, purpose as u8]);
            assert_eq!(there.peer.process, other);
        }
    }
}

/// Passes on what two ends of a connection say until the caller ends; gives what the caller said.
fn record(caller: Connection, listener: Connection) -> Vec<u8> {
    let (mut from, mut to) = (listener.try_clone().unwrap(), caller.try_clone().unwrap());
    let back = thread::spawn(move || _ = io::copy(&mut from, &mut to));
    let (mut said, mut block) = (Vec::new(), [0; 4_096]);
    loop {
        match (&caller).read(&mut block) {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                said.extend_from_slice(&block[..read]);
                (&listener).write_all(&block[..read]).unwrap();
            }
        }
    }
    _ = listener.shutdown(std::net::Shutdown::Both);
    back.join().unwrap();
    said
}

/// A process that ended while the others waited is called again, and its place is taken by the one that is started for it.
#[test]
fn a_process_that_is_started_again_takes_its_place() {
    for again in [0, 1] {
        let hosts = addresses(3);
        thread::scope(|scope| {
            let stays = 1 - again;
            let waits = scope.spawn({
                let hosts = &hosts;
                move || meet(stays, hosts)
            });
            // The other one comes, and goes.
            if again == 1 {
                called(&hosts[0], &own(1, 3, "token", &[]), 0).unwrap();
            } else {
                let gone = own(0, 3, "token", &[]);
                block_on(async {
                    let listener = TcpListener::bind(&hosts[0]).await.unwrap();
                    let (stream, _) = listener.accept().await.unwrap();
                    hear(stream, &gone).await.unwrap().answer(GreetingVerdict::Admitted).await;
                });
            }
            let others = [again, 2].map(|process| {
                scope.spawn({
                    let hosts = &hosts;
                    move || meet(process, hosts)
                })
            });
            let met: Vec<_> =
                [waits].into_iter().chain(others).map(|process| process.join().unwrap().unwrap()).collect();
            for there in met.iter().flatten().flatten().flatten() {
                assert!(!has_ended(&there.connection));
            }
        });
    }
}

/// Both say what keeps two processes from working together.
#[track_caller]
fn check_apart(of_caller: &OwnIdentity, wanted: usize, said_by_listener: &str, said_by_caller: &str) {
    let hosts = addresses(3);
    let listener = own(0, 3, "token", &["audience \"a\""]);
    let (met, called) = thread::scope(|scope| {
        let waits = scope.spawn(|| meet_as(listener, &hosts));
        let called = called(&hosts[0], of_caller, wanted);
        (waits.join().unwrap(), called)
    });
    let said = met.unwrap_err();
    assert!(matches!(&said, MeshError::Apart(why) if why.contains(said_by_listener)), "{said:?}");
    let said = called.unwrap_err();
    assert!(matches!(&said, NotMet::Apart(why) if why.contains(said_by_caller)), "{said:?}");
}

#[test]
fn what_differs_is_said_by_both() {
    check_apart(
        &own(1, 3, "token", &["audience \"a\"", "audience \"b\""]),
        0,
        "process 1 has another project (audience \"b\" is only there)",
        "process 0 has another project (audience \"b\" is only here)",
    );
    check_apart(&own(1, 2, "token", &[]), 0, "process 1 is one of 2, and this is one of 3", "process 0 is one of 3");
    check_apart(&own(0, 3, "token", &[]), 0, "both are process 0", "both are process 0");
    check_apart(
        &own(2, 3, "token", &["audience \"a\""]),
        1,
        "process 2 takes this process, which is process 0, for process 1",
        "process 0 listens where process 1 should, as process 2 sees it",
    );
}

#[test]
fn one_that_comes_twice_is_turned_away() {
    let hosts = addresses(3);
    thread::scope(|scope| {
        let waits = scope.spawn(|| meet(0, &hosts));
        let others = [1, 2].map(|process| own(process, 3, "token", &[]));
        let stays =
            |own: &OwnIdentity, purpose| block_on(call(&hosts[0], own, 0, purpose)).unwrap().1.into_std().unwrap();
        connected(&hosts[0]);
        let kept = [stays(&others[0], ConnectionPurpose::Workers), stays(&others[0], ConnectionPurpose::Pulse)];
        let refused = called(&hosts[0], &own(1, 3, "token", &[]), 0).unwrap_err();
        assert!(matches!(&refused, NotMet::Apart(why) if why.contains("process 1 is there already")), "{refused:?}");
        let rest = ConnectionPurpose::ALL.map(|purpose| stays(&others[1], purpose));
        let met = waits.join().unwrap().unwrap();
        assert_eq!(met[1][0].as_ref().unwrap().peer.run, others[0].peer.run);
        drop((kept, rest));
    });
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = Listener::bind("127.0.0.1:0").unwrap();
    let hosts = vec![taken.local_addr().unwrap().to_string(), "127.0.0.1:1".to_owned()];
    let error = meet(0, &hosts).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {}", hosts[0])) && error.contains("--process"), "{error}");
}
