//! Free TCP ports that no other test process takes.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::folders::{base, lock_file, make};

/// Below the range from which the kernel picks ports of outgoing connections: one of those would collide at random.
const FIRST: u16 = 18_000;
const COUNT: u16 = 12_000;

/// A port on loopback, reserved among all test processes until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port that nobody listens on.
    ///
    /// # Panics
    /// When none is free.
    #[must_use]
    pub fn reserve() -> Port {
        static STEP: AtomicU16 = AtomicU16::new(0);
        let folder = base().join("ports");
        make(&folder, 0o755);
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        for _ in 0..COUNT {
            let offset = (u32::from(start) * 7 + u32::from(STEP.fetch_add(1, Ordering::Relaxed)))
                % u32::from(COUNT);
            let number = FIRST + u16::try_from(offset).unwrap();
            let lock = lock_file(&folder.join(number.to_string()));
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on loopback.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}
