//! What answers to which path.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use saggar_model::{Health, HealthReport};
use serde_json::json;

/// What scrapers of OpenMetrics expect.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) type HealthSource = Arc<dyn Fn() -> Health + Send + Sync>;

#[derive(Clone)]
struct Sources {
    health: HealthSource,
    registry: Arc<Registry>,
}

pub(crate) fn routes(health: HealthSource, registry: Arc<Registry>) -> Router {
    Router::new()
        .route(
            "/livez",
            get(|State(sources): State<Sources>| async move { report((sources.health)().live()) }),
        )
        .route(
            "/readyz",
            get(|State(sources): State<Sources>| async move { report((sources.health)().ready()) }),
        )
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .with_state(Sources { health, registry })
}

fn report(report: HealthReport) -> Response {
    if report.ok {
        Json(json!({ "data": report, "meta": {} })).into_response()
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "Not well", report.reason)
    }
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &sources.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, "Metrics cannot be written", &error.to_string())
        }
    }
}

async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "Not found", "there are /livez, /readyz and /metrics")
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
