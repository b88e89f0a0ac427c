//! The modules' routes as one router, with what belongs to the process as a whole.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use meshkit_api::{Caller, Context, Module, Operation, Problem, Readiness, document};
use omnirelay_runtime::{Drain, Metrics};
use relay_core::{Scope, Status};
use relay_enforcement::operate::{self, Operations};
use relay_enforcement::{Checkpoints, control};
use relay_transport::auth::Authenticator;
use relay_transport::{body, respond};

use crate::methods::Methods;

struct Process {
    auth: Arc<Authenticator>,
    metrics: Metrics,
    drain: Drain,
    parts: Vec<(&'static str, Readiness)>,
    checkpoints: Arc<Checkpoints>,
    operations: Operations,
    openapi: Bytes,
}

/// Everything that meshkitd answers.
pub(crate) fn compose(
    context: &Context,
    modules: Vec<Module>,
    store: Readiness,
    checkpoints: Arc<Checkpoints>,
    operations: Operations,
) -> Router {
    let of_modules = modules.iter().map(|module| (module.name, module.readiness.clone()));
    let described: Vec<Operation> = modules.iter().flat_map(|module| module.operations.clone()).collect();
    let methods = Arc::new(Methods::new(&described));
    let process = Process {
        auth: Arc::clone(&context.auth),
        metrics: context.metrics.clone(),
        drain: context.drain.clone(),
        parts: std::iter::once(("store", store)).chain(of_modules).collect(),
        checkpoints,
        operations,
        openapi: serde_json::to_vec_pretty(&document(&described)).unwrap_or_default().into(),
    };
    let operated =
        operate::PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, any(operation)));
    let mut router = operated
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .route("/meshkit/openapi.json", get(openapi))
        .route(control::TRANSPORT_STATS, get(transport))
        .route(control::DOWNGRADE_EVENTS, get(transport))
        .with_state(Arc::new(process));
    for module in modules {
        router = router.merge(module.routes);
    }
    let (told, checked) = (Arc::clone(&methods), methods);
    let refuse = move |request: Request| std::future::ready(not_allowed(&told, &request));
    let check = move |request: Request, next: Next| {
        let refused = checked.refused(request.method(), request.uri().path()).is_some();
        let refused = refused.then(|| not_allowed(&checked, &request));
        async move {
            match refused {
                Some(refused) => refused,
                None => next.run(request).await,
            }
        }
    };
    router.method_not_allowed_fallback(refuse).fallback(not_found).layer(middleware::from_fn(check))
}

/// The process answers: that is all there is to health. Open to everyone.
async fn health() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))
}

/// Whether calls make sense now, and if not why. Open to everyone.
async fn readiness(State(process): State<Arc<Process>>) -> Response {
    let mut reasons = serde_json::Map::new();
    if process.drain.is_draining() {
        reasons.insert("process".to_owned(), "draining".into());
    }
    for (name, readiness) in &process.parts {
        if let Some(reason) = readiness.reason() {
            reasons.insert((*name).to_owned(), reason.into());
        }
    }
    if reasons.is_empty() {
        json(StatusCode::OK, &serde_json::json!({ "status": "ready" }))
    } else {
        let document = serde_json::json!({ "status": "not-ready", "reasons": reasons });
        json(StatusCode::SERVICE_UNAVAILABLE, &document)
    }
}

async fn metrics(State(process): State<Arc<Process>>, request: Request) -> Result<Response, Problem> {
    Caller::of(&process.auth, request.extensions(), request.headers(), Scope::Observe).await?;
    let mut response = Response::new(Body::from(process.metrics.render()));
    let kind = HeaderValue::from_static(Metrics::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// What the modules that run take and give, as OpenAPI 3.1.
async fn openapi(State(process): State<Arc<Process>>, request: Request) -> Result<Response, Problem> {
    Caller::of(&process.auth, request.extensions(), request.headers(), Scope::Read).await?;
    let mut response = Response::new(Body::from(process.openapi.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// How calls were carried, and what was downgraded.
async fn transport(State(process): State<Arc<Process>>, request: Request) -> Result<Response, Problem> {
    Caller::of(&process.auth, request.extensions(), request.headers(), Scope::Observe).await?;
    let answer = control::answer(&process.checkpoints, request.uri(), request.headers(), &process.drain);
    let response = answer.unwrap_or_else(|| Err(Status::internal("the path is routed and not served")));
    Ok(response?.map(Body::new))
}

/// What an operator does to the process as a whole.
async fn operation(State(process): State<Arc<Process>>, request: Request) -> Result<Response, Problem> {
    let request = request.map(body::boxed);
    let answer = process.operations.answer(&process.auth, request).await;
    let response = answer.unwrap_or_else(|_| Err(Status::internal("the path is routed and not served")));
    Ok(response?.map(Body::new))
}

async fn not_found(request: Request) -> Response {
    let path = request.uri().path();
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/grpc")) {
        let status = Status::unimplemented(format!("nobody serves {path}"))
            .with_hint("check that meshkitd runs the module (`modules`)");
        return respond::grpc(&status).map(Body::new);
    }
    Problem(Status::not_found(format!("there is nothing at {path}")).with_hint(
        "docs/reference/meshkit.md lists the paths; a module that does not run has none (`modules`)",
    ))
    .into_response()
}

fn not_allowed(methods: &Methods, request: &Request) -> Response {
    let message = format!("{} is not done to {}", request.method(), request.uri().path());
    // No canonical code means this one status, so the document is written by hand.
    let mut response = json(
        StatusCode::METHOD_NOT_ALLOWED,
        &serde_json::json!({
            "type": "urn:omnirelay:method-not-allowed",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": message,
            "hint": "the header `allow` lists the methods",
        }),
    );
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    // What is not known here the router tells.
    let allowed = methods.allowed(request.uri().path()).and_then(|allowed| allowed.try_into().ok());
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn json(status: StatusCode, document: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
