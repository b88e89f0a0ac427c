#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use http::Request;
use relay_config::{HeaderCondition, RespondConfig, RewriteConfig};
use relay_core::Code;

use super::*;

/// A route that answers with its own number.
fn numbered(number: usize, route: RouteConfig) -> RouteConfig {
    let respond = RespondConfig { code: Code::Ok, message: String::new(), body: number.to_string() };
    RouteConfig { respond: Some(respond), ..route }
}

fn router(routes: Vec<RouteConfig>) -> Router {
    let routes: Vec<_> =
        routes.into_iter().enumerate().map(|(number, route)| numbered(number, route)).collect();
    Router::new(&routes, &[], "/yarpc/v1", None, &nobody()).unwrap()
}

/// Nobody is known: these routes are everybody's.
fn nobody() -> Arc<Authenticator> {
    Arc::new(Authenticator::new(&relay_transport::auth::AuthConfig::default()).unwrap())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn call(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post("/yarpc/v1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// The number of the route that takes a call.
fn taken(router: &Router, head: &Parts) -> Option<usize> {
    let route = router.route(&RpcMeta::of(head), head).ok()?;
    route.config.respond.as_ref()?.body.parse().ok()
}

#[test]
fn the_first_route_whose_conditions_hold_takes_a_call() {
    let named = |route: RouteConfig| RouteConfig { service: "s".to_owned(), ..route };
    let header = |name: &str, exact: Option<&str>, prefix: Option<&str>, present| HeaderCondition {
        name: name.to_owned(),
        exact: exact.map(str::to_owned),
        prefix: prefix.map(str::to_owned),
        present,
    };
    let by_header = |condition| named(RouteConfig { headers: vec![condition], ..RouteConfig::default() });
    let router = router(vec![
        named(RouteConfig { callers: words(&["ops-*", "root"]), ..RouteConfig::default() }),
        named(RouteConfig { shard_keys: words(&["7"]), ..RouteConfig::default() }),
        by_header(header("X-Tenant", Some("acme"), None, None)),
        by_header(header("X-Tenant", None, Some("beta-"), None)),
        named(RouteConfig { procedures: words(&["A::*", "B::exact"]), ..RouteConfig::default() }),
        by_header(header("x-tenant", None, None, Some(false))),
        named(RouteConfig::default()),
    ]);
    let taken = |extra: &[(&str, &str)]| {
        let base = [("rpc-service", "s"), ("rpc-procedure", "P::p")];
        let named = |name: &str| extra.iter().any(|(extra, _)| *extra == name);
        let mut all: Vec<_> = base.into_iter().filter(|(name, _)| !named(name)).collect();
        all.extend(extra);
        taken(&router, &call(&all))
    };
    for (extra, route) in [
        (&[("rpc-caller", "ops-1")][..], 0),
        (&[("rpc-caller", "root"), ("rpc-shard-key", "7")], 0),
        (&[("rpc-shard-key", "7"), ("rpc-caller", "rooted")], 1),
        (&[("x-tenant", "acme")], 2),
        (&[("x-tenant", "other"), ("x-tenant", "acme")], 2),
        (&[("x-tenant", "beta-2"), ("rpc-procedure", "A::b")], 3),
        (&[("rpc-procedure", "A::b")], 4),
        (&[("rpc-procedure", "B::exact")], 4),
        (&[("rpc-procedure", "B::exactly")], 5),
        (&[("x-tenant", "other")], 6),
    ] {
        assert_eq!(taken(extra), Some(route), "{extra:?}");
    }
    assert_eq!(taken(&[("rpc-service", "t")]), None);
}

#[test]
fn routing_headers_come_before_the_service() {
    let service = |name: &str| RouteConfig { service: name.to_owned(), ..RouteConfig::default() };
    let router = router(vec![service("s"), service("canary"), service("proxy")]);
    let taken = |key: &str, delegate: &str| {
        let headers = [
            ("rpc-service", "s"),
            ("rpc-procedure", "p"),
            ("rpc-routing-key", key),
            ("rpc-routing-delegate", delegate),
        ];
        taken(&router, &call(&headers))
    };
    assert_eq!(taken("canary", "proxy"), Some(2));
    assert_eq!(taken("canary", "nobody"), Some(1));
    // One that this relay has no route for is somebody else's business.
    assert_eq!(taken("nobody", "nobody"), Some(0));
}

#[test]
fn the_index_finds_what_a_look_at_every_route_finds() {
    let dice = Dice::new(42);
    let pick = |from: &[&str]| {
        let at = usize::try_from(dice.roll() % from.len() as u64).unwrap();
        from[at].to_owned()
    };
    let patterns = ["a", "ab", "abc", "a*", "ab*", "abc*", "*", "b", "b*", "bcd*"];
    for _ in 0..300 {
        let routes: Vec<RouteConfig> = (0..dice.roll() % 12)
            .map(|_| RouteConfig {
                service: pick(&["s", "t"]),
                procedures: (0..dice.roll() % 4).map(|_| pick(&patterns)).collect(),
                callers: (0..dice.roll() % 2).map(|_| pick(&["x", "y", "x*"])).collect(),
                ..RouteConfig::default()
            })
            .collect();
        let router = router(routes.clone());
        for _ in 0..20 {
            let (service, procedure) =
                (pick(&["s", "t", "u"]), pick(&["a", "ab", "abcd", "b", "bcd", "é", "c"]));
            let caller = pick(&["x", "y", "xx", "z"]);
            let takes = |patterns: &[String], text: &str| {
                patterns.is_empty()
                    || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                        Some(prefix) => text.starts_with(prefix),
                        None => pattern == text,
                    })
            };
            let expected = routes.iter().position(|route| {
                route.service == service
                    && takes(&route.procedures, &procedure)
                    && takes(&route.callers, &caller)
            });
            let mut head = call(&[("rpc-service", &service), ("rpc-caller", &caller)]);
            let value = http::HeaderValue::from_bytes(procedure.as_bytes()).unwrap();
            head.headers.insert(headers::RPC_PROCEDURE, value);
            // What is no visible ASCII is no procedure that a header can name.
            let named = head.headers[headers::RPC_PROCEDURE].to_str().is_ok();
            assert!(!named || taken(&router, &head) == expected, "{service} {procedure} {caller} {routes:?}");
        }
    }
}

#[test]
fn a_grpc_service_leads_to_its_route_with_all_of_its_methods() {
    let route = |service: &str, procedures: &[&str], grpc: &[&str]| RouteConfig {
        service: service.to_owned(),
        procedures: words(procedures),
        grpc_services: words(grpc),
        ..RouteConfig::default()
    };
    let router = router(vec![
        route("s", &["A::b"], &["pkg.S"]),
        route("pkg.T", &["pkg.T/Get"], &[]),
        route("pkg.T", &[], &[]),
    ]);
    let taken = |path: &str| {
        let request = Request::post(path).header("content-type", "application/grpc");
        taken(&router, &request.body(()).unwrap().into_parts().0)
    };
    assert_eq!(taken("/pkg.S/Any"), Some(0));
    assert_eq!(taken("/pkg.T/Get"), Some(1));
    assert_eq!(taken("/pkg.T/Put"), Some(2));
    assert_eq!(taken("/pkg.U/Put"), None);
}

#[test]
fn the_rest_of_a_procedure_follows_the_new_beginning() {
    let rewritten = |patterns: &[&str], new: &str, style: RpcStyle, procedure: &str| {
        let route = RouteConfig {
            procedures: words(patterns),
            rewrite: RewriteConfig { procedure: Some(new.to_owned()), ..RewriteConfig::default() },
            ..RouteConfig::default()
        };
        let mut head = call(&[("rpc-procedure", procedure)]);
        let rewrite = Rewrite::new(&route).unwrap().unwrap();
        let procedure = rewrite.apply(style, procedure.to_owned(), &mut head);
        (procedure.unwrap_or_default(), head.uri.path().to_owned())
    };
    assert_eq!(rewritten(&["A::*"], "B::*", RpcStyle::Yarpc, "A::x").0, "B::x");
    assert_eq!(rewritten(&["*", "A::*"], "B::*", RpcStyle::Yarpc, "A::x").0, "B::x");
    assert_eq!(rewritten(&["A::*"], "B::y", RpcStyle::Yarpc, "A::x").0, "B::y");
    assert_eq!(rewritten(&[], "v2.*", RpcStyle::Yarpc, "A::x").0, "v2.A::x");
    let grpc = rewritten(&["p.S/*"], "p.T/*", RpcStyle::Grpc, "p.S/Get");
    assert_eq!(grpc, ("p.T/Get".to_owned(), "/p.T/Get".to_owned()));
    assert_eq!(rewritten(&["p.S/*"], "p T/*", RpcStyle::Grpc, "p.S/Get").0, "");
}
