//! Any one process is killed, or stands still for a while: others answer soon, and nobody writes under a stale fence.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says by panicking that it failed, and on standard output how it went"
)]

use std::time::Instant;

use meshkit_fleet::{Case, Fleet, Load, Programs, eventually, inside, is_thorough, judge};

#[test]
fn any_one_process_may_die() {
    inside("any_one_process_may_die", || {
        tokio::runtime::Runtime::new().unwrap().block_on(kills());
    });
}

async fn kills() {
    let mut fleet = Fleet::start(Programs::find(env!("CARGO_BIN_EXE_fleet-host"))).await;
    let load = Load::start(vec![fleet.channel("relay-1"), fleet.channel("relay-2")]);
    load.answered(&(0..50).collect::<Vec<_>>()).await;
    let mut costs = Vec::new();

    let leader = leading(&fleet).await.unwrap();
    let mut victims = vec!["inventory-2".to_owned(), leader, fleet.etcd_leader().await, "relay-1".to_owned()];
    if is_thorough() {
        let all = ["inventory", "meshkit", "etcd", "relay"].into_iter().flat_map(|role| fleet.names(role));
        let others: Vec<String> = all.filter(|name| !victims.contains(name)).collect();
        victims.extend(others);
    }
    for name in victims {
        let case = Case::begin(&fleet, &load, &name, "is killed").await;
        let led = leading(&fleet).await;
        let began = Instant::now();
        fleet.kill(&name);
        if led.as_ref() == Some(&name) {
            eventually("another leads", async || leading(&fleet).await.is_some_and(|next| next != name))
                .await;
            println!("another meshkitd leads after {:?}", began.elapsed());
        }
        case.recovered().await;
        costs.push(case.end());
        fleet.run(&name).await;
        fleet.settled(5).await;
    }

    // It wakes up as somebody who owned shards a moment ago.
    let still = if is_thorough() { fleet.names("inventory") } else { Vec::new() };
    for name in still {
        let case = Case::begin(&fleet, &load, &name, "stands still").await;
        fleet.pause(&name);
        case.recovered().await;
        fleet.resume(&name);
        costs.push(case.end());
        fleet.settled(5).await;
    }
    judge(&fleet, load, &costs).await;
}

/// Who leads the whole mesh.
async fn leading(fleet: &Fleet) -> Option<String> {
    for name in fleet.names("meshkit") {
        let client = fleet.admin_at(&name).with_timeout(std::time::Duration::from_millis(500));
        if let Ok(lease) = client.get_leader("global").await {
            return Some(lease.value.holder).filter(|holder| !holder.is_empty());
        }
    }
    None
}
