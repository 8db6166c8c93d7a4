//! Processes that meet, with strangers among them.

use std::io::{Read, Write};
use std::net::TcpListener as Listener;
use std::thread;

use super::greeting::{GREETING_BYTES, MAGIC, VERSION};
use super::*;

/// Addresses of this machine at which nobody listens.
fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<Listener> = (0..count).map(|_| Listener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

fn meet(process: usize, hosts: &[String]) -> Result<Vec<Option<Connection>>, MeshError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Mesh::meet(process, hosts))
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

#[test]
fn processes_meet_among_strangers() {
    let hosts = addresses(3);
    let met: Vec<_> = thread::scope(|scope| {
        let first = scope.spawn(|| meet(0, &hosts));
        // One that says nothing, one that says something else, one that goes, one of another cluster, one of another version.
        let silent = connected(&hosts[0]);
        let greeting = |version: u16, process: u16, processes: u16| {
            let mut bytes = MAGIC.to_vec();
            [version, process, processes].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
            bytes
        };
        let mut others = Vec::new();
        for said in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0; 8],
            vec![0xff; 4_096],
            b"deltaic cluste".to_vec(),
            greeting(VERSION, 1, 2),
            greeting(VERSION, 0, 3),
            greeting(VERSION, 3, 3),
            greeting(VERSION + 1, 1, 3),
        ] {
            let mut other = connected(&hosts[0]);
            // It may be let go before all is written.
            _ = other.write_all(&said);
            others.push(other);
        }
        drop(connected(&hosts[0]));
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
    for (process, connections) in met.iter().enumerate() {
        let expected: Vec<bool> = (0..3).map(|other| other != process).collect();
        assert_eq!(connections.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
    }
    // Each is connected with whom it takes it for, and nothing of the greeting is left.
    for (process, connections) in met.iter().enumerate() {
        for (other, connection) in connections.iter().enumerate() {
            let Some(mut connection) = connection.as_ref() else { continue };
            connection.set_nonblocking(false).unwrap();
            connection.write_all(&[process as u8, other as u8]).unwrap();
        }
    }
    for (process, connections) in met.iter().enumerate() {
        for (other, connection) in connections.iter().enumerate() {
            let Some(mut connection) = connection.as_ref() else { continue };
            let mut heard = [0; 2];
            connection.read_exact(&mut heard).unwrap();
            assert_eq!(heard, [other as u8, process as u8]);
        }
    }
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
                let mut gone = connected(&hosts[0]);
                let mut said = MAGIC.to_vec();
                [VERSION, 1, 3].iter().for_each(|number| said.extend(number.to_be_bytes()));
                gone.write_all(&said).unwrap();
                gone.read_exact(&mut [0; GREETING_BYTES]).unwrap();
            } else {
                let listener = Listener::bind(&hosts[0]).unwrap();
                let (mut gone, _) = listener.accept().unwrap();
                gone.read_exact(&mut [0; GREETING_BYTES]).unwrap();
                let mut said = MAGIC.to_vec();
                [VERSION, 0, 3].iter().for_each(|number| said.extend(number.to_be_bytes()));
                gone.write_all(&said).unwrap();
            }
            let others = [again, 2].map(|process| {
                scope.spawn({
                    let hosts = &hosts;
                    move || meet(process, hosts)
                })
            });
            let met: Vec<_> =
                [waits].into_iter().chain(others).map(|process| process.join().unwrap().unwrap()).collect();
            for connection in met.iter().flatten().flatten() {
                assert!(!has_ended(connection));
            }
        });
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = Listener::bind("127.0.0.1:0").unwrap();
    let hosts = vec![taken.local_addr().unwrap().to_string(), "127.0.0.1:1".to_owned()];
    let error = meet(0, &hosts).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on {}", hosts[0])) && error.contains("--process"), "{error}");
}
