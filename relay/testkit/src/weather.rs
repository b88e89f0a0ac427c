//! A hostile network on the loopback interface: a forwarder between a caller and a listener that
//! loses, doubles, delays and cuts datagrams, from a seed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What happens to datagrams on their way, in both directions.
#[derive(Clone, Debug)]
pub struct Weather {
    /// How many of 1000 are lost.
    pub lost: u64,
    /// How many of 1000 arrive twice.
    pub doubled: u64,
    /// How many of 1000 are held back for up to `delay`, so that others overtake them.
    pub delayed: u64,
    /// The longest delay.
    pub delay: Duration,
    /// The longest datagram that passes, in bytes of payload.
    pub max_datagram: usize,
    /// Whether no datagram passes at all. TCP is another matter.
    pub udp_blocked: bool,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            lost: 0,
            doubled: 0,
            delayed: 0,
            delay: Duration::from_millis(20),
            max_datagram: usize::MAX,
            udp_blocked: false,
        }
    }
}

/// Forwards UDP and TCP from one port to another, with weather. It ends when it is dropped.
pub struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    upstream: SocketAddr,
    outside: UdpSocket,
    state: Mutex<State>,
    /// Changes where every connection over TCP is to be cut.
    cuts: watch::Sender<()>,
}

struct State {
    weather: Weather,
    seed: u64,
    /// What a NAT remembers: by caller, the socket that stands for it towards the listener.
    mappings: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)>,
    passed: u64,
}

impl Network {
    /// Puts a network before `upstream`.
    ///
    /// # Panics
    /// Where no port is free for both UDP and TCP.
    pub async fn before(upstream: SocketAddr, seed: u64) -> Self {
        let (tcp, outside) = bind_both().await;
        let address = tcp.local_addr().unwrap();
        // A generator that starts at nought stays there.
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (weather, mappings) = (Weather::default(), HashMap::new());
        let state = Mutex::new(State { weather, seed, mappings, passed: 0 });
        let shared = Arc::new(Shared { upstream, outside, state, cuts: watch::Sender::new(()) });
        let mut tasks = JoinSet::new();
        tasks.spawn(forward_tcp(tcp, Arc::clone(&shared)));
        tasks.spawn(forward_udp(Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Where callers connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.shared.state().weather);
    }

    /// Forgets every mapping, as a NAT does that restarts: what follows comes from another port, and
    /// answers to the old one are lost.
    pub fn rebind(&self) {
        for (_, (_, reader)) in self.shared.state().mappings.drain() {
            reader.abort();
        }
    }

    /// Ends every connection over TCP; new ones come about.
    pub fn cut(&self) {
        self.shared.cuts.send_replace(());
    }

    /// How many datagrams have passed, both directions together.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.state().passed
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.rebind();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// A number below `below`, by xorshift.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    /// The delays after which a datagram arrives: none where it is lost, two where it is doubled.
    fn fate(&mut self, size: usize) -> Vec<Duration> {
        let weather = self.weather.clone();
        if weather.udp_blocked || size > weather.max_datagram || self.random(1000) < weather.lost {
            return Vec::new();
        }
        let copies = if self.random(1000) < weather.doubled { 2 } else { 1 };
        self.passed += copies;
        let longest = u64::try_from(weather.delay.as_micros()).unwrap().max(1);
        (0..copies)
            .map(|_| match self.random(1000) < weather.delayed {
                true => Duration::from_micros(self.random(longest)),
                false => Duration::ZERO,
            })
            .collect()
    }
}

async fn bind_both() -> (TcpListener, UdpSocket) {
    for _ in 0..16 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

async fn forward_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((mut caller, _)) = listener.accept().await {
        let (upstream, mut cut) = (shared.upstream, shared.cuts.subscribe());
        connections.spawn(async move {
            let Ok(mut listener) = TcpStream::connect(upstream).await else { return };
            let _nodelay = (caller.set_nodelay(true), listener.set_nodelay(true));
            // Either end may go away at any time, which is what the tests are about.
            tokio::select! {
                _ended = tokio::io::copy_bidirectional(&mut caller, &mut listener) => {}
                _cut = cut.changed() => {}
            }
        });
    }
}

async fn forward_udp(shared: Arc<Shared>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        // An error here is an ICMP message about a caller that is gone.
        let Ok((size, caller)) = shared.outside.recv_from(&mut buffer).await else { continue };
        let inside = mapping(&shared, caller).await;
        let datagram: Arc<[u8]> = buffer.get(..size).unwrap_or_default().into();
        let fate = shared.state().fate(size);
        for delay in fate {
            let (inside, datagram) = (Arc::clone(&inside), Arc::clone(&datagram));
            let send = async move { drop(inside.send(&datagram).await) };
            deliver(delay, send).await;
        }
    }
}

async fn deliver(delay: Duration, send: impl Future<Output = ()> + Send + 'static) {
    if delay.is_zero() {
        return send.await;
    }
    omnirelay_runtime::spawn("delayed-datagram", async move {
        tokio::time::sleep(delay).await;
        send.await;
    });
}

/// The socket that stands for a caller towards the listener.
async fn mapping(shared: &Arc<Shared>, caller: SocketAddr) -> Arc<UdpSocket> {
    if let Some((socket, _)) = shared.state().mappings.get(&caller) {
        return Arc::clone(socket);
    }
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    socket.connect(shared.upstream).await.unwrap();
    let reading = read_back(Arc::clone(shared), Arc::clone(&socket), caller);
    let reader = omnirelay_runtime::spawn("network", reading).abort_handle();
    shared.state().mappings.insert(caller, (Arc::clone(&socket), reader));
    socket
}

/// Carries answers back to a caller.
async fn read_back(shared: Arc<Shared>, inside: Arc<UdpSocket>, caller: SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let Ok(size) = inside.recv(&mut buffer).await else {
            // The listener is down for now; its port may be taken again soon.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let datagram: Arc<[u8]> = buffer.get(..size).unwrap_or_default().into();
        let fate = shared.state().fate(size);
        for delay in fate {
            let (shared, datagram) = (Arc::clone(&shared), Arc::clone(&datagram));
            let send = async move { drop(shared.outside.send_to(&datagram, caller).await) };
            deliver(delay, send).await;
        }
    }
}
