//! Answers of the admin port.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

pub(super) type Answer = Response<Full<Bytes>>;

/// What the page may load: itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A line of text.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    let mut body: String = body.into();
    body.push('\n');
    answer(status, "text/plain; charset=utf-8", body)
}

/// Metrics.
pub(super) fn metrics(body: Vec<u8>) -> Answer {
    answer(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        body,
    )
}

/// The page.
pub(super) fn page(body: &'static str) -> Answer {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", body);
    response.headers_mut().insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(POLICY),
    );
    response
}

/// A value.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            answer(status, "application/json", body)
        }
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer could not be written: {error}"),
        ),
    }
}

/// An error with what to do about it.
pub(super) fn error(status: StatusCode, message: impl Into<String>) -> Answer {
    json(
        status,
        &super::asks::ErrorAnswer {
            error: message.into(),
        },
    )
}
