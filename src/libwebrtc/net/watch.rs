//! The addresses of this machine, looked at again and again for as long as anybody wants to know.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time};

use super::{engine, gather};

/// How often the interfaces are looked at; the C++ library does it as often.
const INTERVAL: Duration = Duration::from_secs(2);

/// Addresses as they change.
pub(super) type Addresses = watch::Receiver<Arc<[IpAddr]>>;

type Sender = watch::Sender<Arc<[IpAddr]>>;

/// The addresses from now on.
pub(super) fn addresses() -> Addresses {
    static SENDER: OnceLock<Mutex<Option<Sender>>> = OnceLock::new();
    let mut slot = SENDER.get_or_init(Mutex::default).lock();
    if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
        return sender.subscribe();
    }
    // The last watcher ends with its last receiver.
    let (sender, receiver) = watch::channel(gather::interface_addresses().into());
    if let Err(error) = engine::spawn(look_again(sender.clone())) {
        tracing::warn!(%error, "changes of the network are not seen");
    }
    *slot = Some(sender);
    receiver
}

async fn look_again(sender: Sender) {
    let mut interval = time::interval(INTERVAL);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = sender.closed() => return,
        }
        let now = gather::interface_addresses();
        sender.send_if_modified(|known| {
            let changed = **known != *now;
            if changed {
                *known = now.clone().into();
            }
            changed
        });
    }
}
