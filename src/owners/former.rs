//! Logs that earlier versions wrote: each process of a cluster had logged what it was sent, and one message may be in several.
//!
//! Which of them counts was decided behind the logs: the first, of equal ticks that of the lowest process, for as long as the
//! window says. So it is once more, before such logs are read, of all that their checkpoints remember and the logs have after them.

use dataflows::model::Tick;
use rustc_hash::FxHashMap;

use crate::dedupe::MessageWindow;

/// A message of such a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerId {
    /// The keyed hash of its source and id.
    pub id: u128,
    /// The tick at which the log has it, or at which it counted.
    pub tick: Tick,
    /// A checkpoint says that it counted; or else it is to be decided.
    pub has_counted: bool,
}

/// What an owner hears of such logs.
#[derive(Debug)]
pub struct Former {
    window: MessageWindow,
    /// By process.
    told: Vec<Vec<FormerId>>,
    /// Who has told all.
    is_complete: Vec<bool>,
}

impl Former {
    /// Of so many processes.
    pub fn new(window: MessageWindow, processes: usize) -> Self {
        Former { window, told: vec![Vec::new(); processes], is_complete: vec![false; processes] }
    }

    /// A process tells of some messages.
    pub fn tell(&mut self, process: usize, ids: Vec<FormerId>) {
        self.told[process].extend(ids);
    }

    /// It has told all. When all have, gives what does not count, by process.
    pub fn end(&mut self, process: usize) -> Option<Vec<Vec<(Tick, u128)>>> {
        self.is_complete[process] = true;
        if self.is_complete.contains(&false) {
            return None;
        }
        let of_process = |(process, ids): (usize, Vec<FormerId>)| ids.into_iter().map(move |of| (of, process));
        let told = std::mem::take(&mut self.told);
        let mut repeated = vec![Vec::new(); told.len()];
        let mut all: Vec<(FormerId, usize)> = told.into_iter().enumerate().flat_map(of_process).collect();
        // Stable: of one process and tick, the order is that of its log.
        all.sort_by_key(|(of, process)| (!of.has_counted, of.tick, *process));
        let mut counted: FxHashMap<u128, Tick> = FxHashMap::default();
        for (FormerId { id, tick, has_counted }, process) in all {
            let is_known = counted.get(&id).is_some_and(|counted| self.window.has(*counted, tick));
            if is_known && !has_counted {
                repeated[process].push((tick, id));
            } else {
                counted.insert(id, tick);
            }
        }
        Some(repeated)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(tick: u64, id: u128) -> FormerId {
        FormerId { id, tick: Tick::from_ms(tick), has_counted: false }
    }

    #[test]
    fn the_first_counts_for_as_long_as_the_window_says() {
        let mut former = Former::new(MessageWindow::new(Duration::from_millis(100)), 2);
        former.tell(1, vec![of(10, 1), of(20, 2), of(50, 3)]);
        assert_eq!(former.end(1), None);
        former.tell(0, vec![FormerId { has_counted: true, ..of(5, 4) }, of(10, 1)]);
        former.tell(0, vec![of(30, 2), of(60, 4), of(104, 4), of(105, 4), of(150, 3), of(149, 2)]);
        let ms = Tick::from_ms;
        let repeated = former.end(0).unwrap();
        // 1 at the same tick: the lowest process. 3 after the window: both. 4 counted at 5, and again at 105.
        assert_eq!(repeated, [vec![(ms(30), 2), (ms(60), 4), (ms(104), 4)], vec![(ms(10), 1)]]);
    }
}
