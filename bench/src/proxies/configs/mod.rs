//! The configuration of each proxy: one worker, no access log, TLS 1.3 both ways, certificates checked, connections to the
//! upstream kept, and room for ten thousand connections that rest.

mod envoy;

use std::path::Path;

pub(super) use envoy::envoy;

/// What a configuration has to say.
pub(super) struct Settings<'a> {
    /// A folder of the proxy's own.
    pub(super) folder: &'a Path,
    /// PEM files: the chain, the key, both in one, and who issued them.
    pub(super) certificate: &'a Path,
    pub(super) private_key: &'a Path,
    pub(super) pair: &'a Path,
    pub(super) ca: &'a Path,
    /// Where it listens, over TCP and UDP.
    pub(super) port: u16,
    /// Where the relay's diagnostics listen.
    pub(super) admin: u16,
    /// Where the upstream listens.
    pub(super) upstream: u16,
    /// How many connections nginx has memory for; a QUIC connection counts with each of its streams.
    pub(super) nginx_connections: usize,
}

/// Enough for the load.
pub(super) const NGINX_CONNECTIONS: usize = 4096;

/// relayd: everything to the upstream over HTTP/2.
pub(super) fn relayd(settings: &Settings<'_>) -> String {
    let Settings { certificate, private_key, ca, port, admin, upstream, .. } = settings;
    format!(
        r#"kind = "relay"
node = {{ name = "bench" }}

[data]
address = "127.0.0.1:{port}"
tls = {{ certificate = {certificate:?}, private_key = {private_key:?} }}
[data.limits]
max_connections = 20000
max_connections_per_address = 20000
max_handshakes = 20000
retry_above_handshakes = 20000
idle_timeout_ms = 600000
header_timeout_ms = 600000

[admin]
address = "127.0.0.1:{admin}"
tls = {{ certificate = {certificate:?}, private_key = {private_key:?} }}

[[outbounds]]
name = "echo"
peers = ["https://localhost:{upstream}"]
protocols = ["http2"]
tls = {{ ca = {ca:?} }}

[[routes]]
service = "echo"
grpc_services = ["bench.Echo"]
outbound = "echo"
"#
    )
}

/// nginx: HTTP/1.1 to the upstream, and HTTP/2 for gRPC, over which it sends one call at a time.
pub(super) fn nginx(settings: &Settings<'_>) -> String {
    let Settings { folder, certificate, private_key, ca, port, upstream, nginx_connections, .. } = settings;
    let folder = folder.display();
    let (certificate, private_key, ca) = (certificate.display(), private_key.display(), ca.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .into_iter()
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .collect();
    let pool = |name: &str| {
        format!(
            "  upstream {name} {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
"
        )
    };
    let tls = |module: &str| {
        format!(
            "      {module}_ssl_protocols TLSv1.3;
      {module}_ssl_name localhost;
      {module}_ssl_server_name on;
      {module}_ssl_verify on;
      {module}_ssl_trusted_certificate {ca};
"
        )
    };
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{
  worker_connections {nginx_connections};
}}
http {{
  access_log off;
{temporary}{}{}  server {{
    listen 127.0.0.1:{port} ssl;
    listen 127.0.0.1:{port} quic reuseport;
    http2 on;
    quic_gso on;
    ssl_protocols TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {private_key};
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    location / {{
      proxy_pass https://echo;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
{}    }}
    location /bench.Echo/ {{
      grpc_pass grpcs://grpc;
{}    }}
  }}
}}
",
        pool("echo"),
        pool("grpc"),
        tls("proxy"),
        tls("grpc"),
    )
}

/// HAProxy: HTTP/2 to the upstream.
pub(super) fn haproxy(settings: &Settings<'_>) -> String {
    let Settings { pair, ca, port, upstream, .. } = settings;
    let (pair, ca) = (pair.display(), ca.display());
    let server = format!(
        "server upstream 127.0.0.1:{upstream} ssl verify required ca-file {ca} sni str(localhost) verifyhost localhost ssl-min-ver TLSv1.3"
    );
    format!(
        "global
  nbthread 1
  maxconn 11000
  no strict-limits
  ssl-default-bind-options ssl-min-ver TLSv1.3
  tune.quic.frontend.max-idle-timeout 600s
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend callers
  maxconn 11000
  bind 127.0.0.1:{port} ssl crt {pair} alpn h2,http/1.1
  bind quic4@127.0.0.1:{port} ssl crt {pair} alpn h3
  use_backend grpc if {{ path_beg /bench.Echo/ }}
  default_backend echo
backend echo
  {server} alpn h2
backend grpc
  {server} alpn h2
"
    )
}

/// Caddy: HTTP/2 to the upstream.
pub(super) fn caddy(settings: &Settings<'_>) -> String {
    let Settings { certificate, private_key, ca, port, upstream, .. } = settings;
    let (certificate, private_key, ca) = (certificate.display(), private_key.display(), ca.display());
    let proxy = |versions: &str| {
        format!(
            "    reverse_proxy https://127.0.0.1:{upstream} {{
      transport http {{
        versions {versions}
        tls_server_name localhost
        tls_trust_pool file {ca}
        keepalive 600s
        keepalive_idle_conns_per_host 256
      }}
    }}
"
        )
    };
    format!(
        "{{
  admin off
  auto_https off
  persist_config off
  grace_period 1s
  log {{
    level ERROR
  }}
  servers {{
    protocols h1 h2 h3
    timeouts {{
      idle 600s
    }}
  }}
}}
https://localhost:{port} {{
  bind 127.0.0.1
  tls {certificate} {private_key} {{
    protocols tls1.3
  }}
  handle /bench.Echo/* {{
{}  }}
  handle {{
{}  }}
}}
",
        proxy("2"),
        proxy("2"),
    )
}
