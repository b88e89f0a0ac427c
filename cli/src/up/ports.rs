//! Whether every port of the mesh is free, asked before anything starts.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use super::leftovers;
use crate::dev::{DevMesh, LAST_PORT};

/// How far above the wanted ports free ones are looked for.
const STEPS: u16 = 20;
const STEP: u16 = 100;

/// Refuses ports that somebody holds, all of them at once, with a first port that would do.
pub(super) fn check(mesh: &DevMesh) -> Result<()> {
    let taken: Vec<String> = mesh
        .components
        .iter()
        .flat_map(|component| component.listens.iter().map(move |address| (component, *address)))
        .filter_map(|(component, address)| {
            let cause = probe(address).err()?;
            Some(format!("{address} for {}: {cause}", component.name))
        })
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    let base = mesh.options.base_port;
    let free = (1..=STEPS)
        .filter_map(|step| base.checked_add(step * STEP))
        .filter(|base| base.checked_add(LAST_PORT).is_some())
        .find(|other| {
            mesh.components
                .iter()
                .flat_map(|component| &component.listens)
                .all(|address| probe(SocketAddr::new(address.ip(), other + (address.port() - base))).is_ok())
        });
    let leftovers = leftovers::alive(&mesh.directory);
    let hint = match free {
        _ if !leftovers.is_empty() => {
            format!(
                "an earlier `up` was killed and left processes behind; end them with `kill {}`",
                leftovers.join(" ")
            )
        }
        Some(base) => format!("stop what holds them, or use others with `--base-port {base}`"),
        None => "stop what holds them, or use others with `--base-port N`".to_owned(),
    };
    let count = taken.len();
    let message = if count == 1 {
        "a port of the mesh is taken".to_owned()
    } else {
        format!("{count} ports of the mesh are taken")
    };
    Err(taken
        .into_iter()
        .fold(OperatorError::new(ErrorKind::Conflict, message), OperatorError::because)
        .hint(hint))
}

fn probe(address: SocketAddr) -> std::io::Result<()> {
    TcpListener::bind(address)?;
    UdpSocket::bind(address)?;
    Ok(())
}
