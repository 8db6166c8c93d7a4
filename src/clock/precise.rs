//! A timer that is exact to some ten microseconds, where those of the runtime are to a millisecond.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel, on the runtime at hand; that of the runtime where the kernel has none left.
#[derive(Debug)]
pub struct PreciseTimer(Option<AsyncFd<OwnedFd>>);

impl PreciseTimer {
    /// A timer of the runtime at hand, which has to have I/O.
    #[expect(
        deprecated,
        reason = "it is unsound where a descriptor may change, which an owned one does not; its successor is unsafe"
    )]
    pub fn of_runtime() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(io::Error::from);
        PreciseTimer(timer.and_then(|timer| AsyncFd::with_interest(timer, Interest::READABLE)).ok())
    }

    /// Waits for so long, and blocks no thread.
    pub async fn wait(&mut self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let waited = match &self.0 {
            Some(timer) => expires(timer, duration).await.is_ok(),
            None => false,
        };
        if !waited {
            tokio::time::sleep(duration).await;
        }
    }
}

/// Waits until a timer has expired that is set to so long from now.
async fn expires(timer: &AsyncFd<OwnedFd>, duration: Duration) -> io::Result<()> {
    let after = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec {
            tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        },
    };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &after)?;
    loop {
        let mut readable = timer.readable().await?;
        let mut expirations = [0; 8];
        match read(timer, &mut expirations) {
            Err(Errno::AGAIN) => readable.clear_ready(),
            Err(Errno::INTR) => {}
            read => return read.map(|_| ()).map_err(io::Error::from),
        }
    }
}
#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_waits_at_least_as_long_as_it_is_told_and_again() {
        let mut timer = PreciseTimer::of_runtime();
        assert!(timer.0.is_some());
        for micros in [0, 1, 300, 2_500, 700] {
            let (duration, began) = (Duration::from_micros(micros), Instant::now());
            timer.wait(duration).await;
            assert!(began.elapsed() >= duration, "{micros} µs");
        }
    }

    /// One that was given up in between does not end the next one early.
    #[tokio::test]
    async fn a_wait_that_was_given_up_is_over() {
        let mut timer = PreciseTimer::of_runtime();
        tokio::select! {
            biased;
            () = timer.wait(Duration::from_millis(1)) => panic!("it waits"),
            () = std::future::ready(()) => {}
        }
        std::thread::sleep(Duration::from_millis(2));
        let (duration, began) = (Duration::from_millis(20), Instant::now());
        timer.wait(duration).await;
        assert!(began.elapsed() >= duration);
    }
}
