//! MD5 (RFC 1321) and SHA-256 (FIPS 180-4), with constants that are computed as these say.

use std::sync::LazyLock;

use num_bigint::BigInt;

/// The primes that the constants are roots of.
static PRIMES: LazyLock<Vec<u32>> =
    LazyLock::new(|| (2..312).filter(|n| (2..*n).all(|divisor| n % divisor != 0)).collect());

static CUBE_ROOTS: LazyLock<Vec<u32>> = LazyLock::new(|| PRIMES.iter().map(|prime| root_fraction(*prime, 3)).collect());

static SQUARE_ROOTS: LazyLock<Vec<u32>> =
    LazyLock::new(|| PRIMES[..8].iter().map(|prime| root_fraction(*prime, 2)).collect());

/// The MD5 in hexadecimal digits.
pub fn md5(bytes: &[u8]) -> String {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    // The first 32 bits of the fraction of sines, which floats have.
    let constants: Vec<u32> = (1..=64).map(|i| (f64::from(i).sin().abs() * 2f64.powi(32)) as u32).collect();
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(bytes, u64::to_le_bytes).chunks(64) {
        let words: Vec<u32> = block.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, word) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((b & d) | (c & !d), 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            let sum = a.wrapping_add(mixed).wrapping_add(words[word % 16]).wrapping_add(constants[step]);
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4])));
        }
        for (kept, of_block) in state.iter_mut().zip([a, b, c, d]) {
            *kept = kept.wrapping_add(of_block);
        }
    }
    state.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut state = SQUARE_ROOTS.clone();
    for block in padded(bytes, u64::to_be_bytes).chunks(64) {
        let mut words: Vec<u32> = block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for t in 16..64 {
            let (x, y) = (words[t - 15], words[t - 2]);
            let x = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
            let y = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
            words.push(words[t - 16].wrapping_add(x).wrapping_add(words[t - 7]).wrapping_add(y));
        }
        let mut of_block: [u32; 8] = state.as_slice().try_into().unwrap();
        for (word, constant) in words.iter().zip(CUBE_ROOTS.iter()) {
            let [a, b, c, d, e, f, g, h] = of_block;
            let chosen = (e & f) ^ (!e & g);
            let turned = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let first = [turned, chosen, *constant, *word].into_iter().fold(h, u32::wrapping_add);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            let second = (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add(majority);
            of_block = [first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        for (kept, of_block) in state.iter_mut().zip(of_block) {
            *kept = kept.wrapping_add(of_block);
        }
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

/// The first 32 bits of the fraction of a root.
fn root_fraction(number: u32, degree: u32) -> u32 {
    let root = (BigInt::from(number) << (32 * degree)).nth_root(degree);
    let fraction: BigInt = root % (BigInt::from(1) << 32);
    fraction.try_into().expect("it has 32 bits")
}

/// A message with a bit, zeros and its length in bits: whole blocks.
fn padded(bytes: &[u8], length: impl Fn(u64) -> [u8; 8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend(length(8 * bytes.len() as u64));
    padded
}

#[test]
fn hashes_of_the_standards() {
    assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(md5(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(sha256(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
