//! Envoy's configuration.

use super::Settings;

const TYPED: &str = "type.googleapis.com/envoy.extensions";

/// Envoy: HTTP/2 to the upstream.
pub(in crate::proxies) fn envoy(settings: &Settings<'_>) -> String {
    let Settings { port, .. } = settings;
    let address = |protocol: &str| {
        format!("socket_address: {{ protocol: {protocol}, address: 127.0.0.1, port_value: {port} }}")
    };
    let over_tcp = format!(
        "name: tls, typed_config: {{ \"@type\": {TYPED}.transport_sockets.tls.v3.DownstreamTlsContext, {} }}",
        tls(settings, "h2, http/1.1")
    );
    let over_quic = format!(
        "name: quic, typed_config: {{ \"@type\": {TYPED}.transport_sockets.quic.v3.QuicDownstreamTransport, \
         downstream_tls_context: {{ {} }} }}",
        tls(settings, "h3")
    );
    format!(
        "static_resources:
  listeners:
  - name: tcp
    address: {{ {} }}
{}  - name: quic
    address: {{ {} }}
    udp_listener_config: {{ quic_options: {{}}, downstream_socket_config: {{ prefer_gro: true }} }}
{}  clusters:
{}{}",
        address("TCP"),
        chain(&over_tcp, "codec_type: AUTO"),
        address("UDP"),
        chain(&over_quic, "codec_type: HTTP3"),
        cluster(settings, "echo", "http2_protocol_options"),
        cluster(settings, "grpc", "http2_protocol_options"),
    )
}

fn tls(settings: &Settings<'_>, alpn: &str) -> String {
    let Settings { certificate, private_key, .. } = settings;
    format!(
        "common_tls_context: {{ alpn_protocols: [{alpn}], \
         tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}, \
         tls_certificates: [{{ certificate_chain: {{ filename: {certificate:?} }}, private_key: {{ filename: {private_key:?} }} }}] }}"
    )
}

fn chain(transport: &str, codec: &str) -> String {
    format!(
        "    filter_chains:
    - transport_socket: {{ {transport} }}
      filters:
      - name: http
        typed_config:
          \"@type\": {TYPED}.filters.network.http_connection_manager.v3.HttpConnectionManager
          {codec}
          stat_prefix: bench
          common_http_protocol_options: {{ idle_timeout: 600s }}
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - {{ match: {{ prefix: /bench.Echo/ }}, route: {{ cluster: grpc }} }}
              - {{ match: {{ prefix: / }}, route: {{ cluster: echo }} }}
          http_filters:
          - {{ name: router, typed_config: {{ \"@type\": {TYPED}.filters.http.router.v3.Router, suppress_envoy_headers: true }} }}
"
    )
}

fn cluster(settings: &Settings<'_>, name: &str, protocol: &str) -> String {
    let Settings { ca, upstream, .. } = settings;
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 20000, max_pending_requests: 20000, max_requests: 20000 }}] }}
    load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }} }}] }}] }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": {TYPED}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ {protocol}: {{}} }}
    transport_socket:
      name: tls
      typed_config:
        \"@type\": {TYPED}.transport_sockets.tls.v3.UpstreamTlsContext
        sni: localhost
        common_tls_context: {{ tls_params: {{ tls_maximum_protocol_version: TLSv1_3, tls_minimum_protocol_version: TLSv1_3 }}, validation_context: {{ trusted_ca: {{ filename: {ca:?} }}, match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: localhost }} }}] }} }}
"
    )
}
