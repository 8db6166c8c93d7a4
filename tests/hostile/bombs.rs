//! Bodies that are small on their way, and large when they are unpacked.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::block_in_place;

use super::HostileWorld;

/// So many megabytes of zeros: members of one megabyte, one after the other.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 1_000_000]).unwrap();
    gzip.finish().unwrap().repeat(megabytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs() {
    let world = HostileWorld::new().await;
    let bomb = bomb(1_000);
    assert!(bomb.len() < 2_000_000, "it passes as it comes: {}", bomb.len());
    let chunked = {
        let mut request =
            b"POST /v1/batch HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n\
            content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for part in bomb.chunks(10_000) {
            request.extend(format!("{:x}\r\n", part.len()).bytes());
            request.extend(part);
            request.extend(b"\r\n");
        }
        [request, b"0\r\n\r\n".to_vec()].concat()
    };
    block_in_place(|| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(world.post("/v1/track", "content-encoding: gzip\r\n", &bomb), "413 request_too_large");
                    assert_eq!(world.raw(&chunked), "413 request_too_large");
                });
            }
        });
    });
    let twice = "content-encoding: gzip\r\ncontent-encoding: gzip\r\n";
    assert_eq!(world.post("/v1/track", twice, &bomb), "413 request_too_large");
    assert_eq!(world.post("/v1/track", "content-encoding: gzip, gzip\r\n", &bomb), "415 unknown_encoding");
    world.end().await;
}
