//! Any one host is cut off, or heard no more while it hears: others take over, and whoever comes back writes nothing under a stale fence.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says by panicking that it failed, and on standard output how it went"
)]

use meshkit_fleet::{Case, Fleet, Load, Programs, inside, is_thorough, judge};

#[test]
fn any_one_host_may_be_cut_off() {
    inside("any_one_host_may_be_cut_off", || {
        tokio::runtime::Runtime::new().unwrap().block_on(partitions());
    });
}

async fn partitions() {
    let mut fleet = Fleet::start(Programs::find(env!("CARGO_BIN_EXE_fleet-host"))).await;
    let load = Load::start(vec![fleet.channel("relay-1"), fleet.channel("relay-2")]);
    load.answered(&(0..50).collect::<Vec<_>>()).await;
    let mut costs = Vec::new();

    let (mut cut, mut mute) = (vec!["inventory-1".to_owned()], vec!["meshkit-1".to_owned()]);
    if is_thorough() {
        cut = ["inventory", "meshkit", "etcd", "relay"].iter().flat_map(|role| fleet.names(role)).collect();
        mute.clone_from(&cut);
    }
    for name in &cut {
        let case = Case::begin(&fleet, &load, name, "is cut off").await;
        fleet.cut(name);
        case.recovered().await;
        fleet.heal(name);
        fleet.settled(5).await;
        costs.push(case.end());
    }
    for name in &mute {
        let case = Case::begin(&fleet, &load, name, "is mute").await;
        fleet.mute(name, true);
        case.recovered().await;
        fleet.mute(name, false);
        fleet.settled(5).await;
        costs.push(case.end());
    }
    judge(&fleet, load, &costs).await;
}
