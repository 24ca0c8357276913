//! Which request gets which answer.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_phase::Phase;
use crossfade_toggle::{Move, Reason, Toggle};
use hyper::{Method, Request, StatusCode, body::Incoming};

use super::{
    answer::{Answer, error, json, metrics, page, text},
    asks::{Forgotten, GuardAnswer, HEADER, UnmetAnswer, parse_query},
};
use crate::{
    app::{App, Override},
    control,
    failure::Status,
    flip,
    jobs::{self, Kind},
    metrics::render,
    serve::Readiness,
    status,
};

const PAGE: &str = include_str!("page.html");

/// Answers one request.
pub(super) async fn answer(
    app: &Arc<App>,
    readiness: &Readiness,
    request: &Request<Incoming>,
) -> Answer {
    let Some(query) = parse_query(request.uri().query().unwrap_or_default()) else {
        return error(StatusCode::BAD_REQUEST, "the query string is malformed");
    };
    let query: BTreeMap<String, String> = query.into_iter().collect();
    match *request.method() {
        Method::GET | Method::HEAD => get(app, readiness, request.uri().path(), &query).await,
        // A browser sends no such header to another origin without asking first, and nobody here says yes.
        Method::POST if request.headers().contains_key(HEADER) => {
            post(app, request.uri().path(), &query).await
        }
        Method::POST => error(
            StatusCode::FORBIDDEN,
            "a POST needs the header X-Crossfade: 1",
        ),
        _ => error(
            StatusCode::METHOD_NOT_ALLOWED,
            "the admin port answers GET and POST",
        ),
    }
}

async fn get(
    app: &Arc<App>,
    readiness: &Readiness,
    path: &str,
    query: &BTreeMap<String, String>,
) -> Answer {
    match path {
        "/" => page(PAGE),
        "/healthz" => text(StatusCode::OK, "ok"),
        "/readyz" => match readiness.obstacle(app).await {
            None => text(StatusCode::OK, "ready"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/metrics" => match render(app) {
            Ok(body) => metrics(body),
            Err(failure) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the metrics could not be written: {failure}"),
            ),
        },
        "/status" => standing(app).await,
        "/guard" => guard(app, query).await,
        _ => match path.strip_prefix("/jobs/").map(str::parse) {
            Some(Ok(id)) => job(app, id),
            Some(Err(_)) | None => error(
                StatusCode::NOT_FOUND,
                "there is /, /status, /metrics, /healthz, /readyz, /guard and /jobs/ID",
            ),
        },
    }
}

/// The status; made where it holds up nobody.
async fn standing(app: &Arc<App>) -> Answer {
    let app = app.clone();
    match tokio::task::spawn_blocking(move || status::gather(&app)).await {
        Ok(status) => json(StatusCode::OK, &status),
        Err(failure) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the status could not be put together: {failure}"),
        ),
    }
}

async fn post(app: &Arc<App>, path: &str, query: &BTreeMap<String, String>) -> Answer {
    match path {
        "/override" => overriding(app, query),
        "/wish" => wishing(app, query),
        "/forget" => forget(app, query).await,
        "/jobs/backfill" => start(app, Kind::Backfill, query),
        "/jobs/verify" => start(app, Kind::Verify, query),
        "/jobs/repair" => start(app, Kind::Repair, query),
        _ => error(
            StatusCode::NOT_FOUND,
            "there is POST /override, /wish, /forget and POST /jobs/backfill, /jobs/verify, /jobs/repair",
        ),
    }
}

/// A toggle and a phase from `toggle=` and `to=`.
fn wish(app: &App, query: &BTreeMap<String, String>) -> Result<(Arc<Toggle>, Phase), Box<Answer>> {
    let value = |name: &str| {
        query.get(name).ok_or_else(|| {
            Box::new(error(
                StatusCode::BAD_REQUEST,
                format!("\"{name}\" is missing"),
            ))
        })
    };
    let name = value("toggle")?;
    let known = || app.toggles.keys().cloned().collect::<Vec<_>>().join(", ");
    let toggle = app.toggles.get(name).ok_or_else(|| {
        Box::new(error(
            StatusCode::NOT_FOUND,
            format!(
                "there is no toggle \"{name}\" in the running proxy; it has {}",
                known()
            ),
        ))
    })?;
    let phase = value("to")?
        .parse::<Phase>()
        .map_err(|unknown| Box::new(error(StatusCode::BAD_REQUEST, unknown.to_string())))?;
    Ok((toggle.clone(), phase))
}

async fn guard(app: &App, query: &BTreeMap<String, String>) -> Answer {
    let (toggle, to) = match wish(app, query) {
        Ok(wish) => wish,
        Err(answer) => return *answer,
    };
    json(StatusCode::OK, &on_trial(app, &toggle, to).await)
}

/// What the guard says of a move to `to`.
pub(crate) async fn on_trial(app: &App, toggle: &Toggle, to: Phase) -> GuardAnswer {
    let step = match Move::new(toggle.gate().current().phase, to) {
        Ok(step) => step,
        Err(illegal) => {
            let next = illegal.next();
            let command = next.map_or_else(
                || "crossfade status".to_owned(),
                |phase| format!("crossfade phase {} {phase}", toggle.name()),
            );
            let unmet = vec![UnmetAnswer {
                what: illegal.to_string(),
                command,
            }];
            // To be where one wants to be is no refusal.
            return GuardAnswer {
                ok: next.is_none(),
                legal: false,
                passing: false,
                step: illegal.to_string(),
                unmet,
                details: Vec::new(),
            };
        }
    };
    let (ok, passing, unmet, details) = match flip::dry_run(app, toggle, step).await {
        Ok(()) => (true, false, Vec::new(), Vec::new()),
        Err((refusal, details)) => {
            let unmet = refusal.unmet().iter().map(|unmet| UnmetAnswer {
                what: unmet.to_string(),
                command: unmet.command(),
            });
            (false, flip::is_passing(&refusal), unmet.collect(), details)
        }
    };
    GuardAnswer {
        ok,
        legal: true,
        passing,
        step: step.to_string(),
        unmet,
        details,
    }
}

fn overriding(app: &App, query: &BTreeMap<String, String>) -> Answer {
    let (toggle, to) = match wish(app, query) {
        Ok(wish) => wish,
        Err(answer) => return *answer,
    };
    match Reason::new(query.get("because").map_or("", String::as_str)) {
        Ok(reason) => {
            tracing::warn!(toggle = toggle.name(), to = %to, because = reason.as_str(), "an operator will override the guard of the next move");
            app.facts(&toggle).override_next(Override { to, reason });
            json(
                StatusCode::ACCEPTED,
                &serde_json::json!({ "toggle": toggle.name(), "to": to.name() }),
            )
        }
        Err(empty) => error(StatusCode::BAD_REQUEST, empty.to_string()),
    }
}

/// The phase that the file says already may be a wish all the same: of several proxies each has its own file.
fn wishing(app: &App, query: &BTreeMap<String, String>) -> Answer {
    let (toggle, to) = match wish(app, query) {
        Ok(wish) => wish,
        Err(answer) => return *answer,
    };
    toggle.want(to);
    app.facts(&toggle).look.notify_one();
    json(
        StatusCode::ACCEPTED,
        &serde_json::json!({ "toggle": toggle.name(), "to": to.name() }),
    )
}

async fn forget(app: &App, query: &BTreeMap<String, String>) -> Answer {
    let Some(proxy) = query.get("proxy") else {
        return error(StatusCode::BAD_REQUEST, "\"proxy\" is missing");
    };
    let reason = match Reason::new(query.get("because").map_or("", String::as_str)) {
        Ok(reason) => reason,
        Err(empty) => return error(StatusCode::BAD_REQUEST, empty.to_string()),
    };
    match control::forget(app, proxy, &reason).await {
        Ok(toggles) => json(StatusCode::OK, &Forgotten { toggles }),
        Err(failure) if failure.status == Status::Broken => {
            error(StatusCode::INTERNAL_SERVER_ERROR, failure.to_string())
        }
        Err(failure) => error(StatusCode::CONFLICT, failure.to_string()),
    }
}

fn start(app: &Arc<App>, kind: Kind, query: &BTreeMap<String, String>) -> Answer {
    let flag = |name: &str| {
        query
            .get(name)
            .is_some_and(|value| matches!(value.as_str(), "" | "1" | "true"))
    };
    let request = jobs::Request {
        kind,
        table: query.get("table").cloned(),
        toggle: query.get("toggle").cloned(),
        reverse: flag("reverse"),
        repair: flag("repair"),
        values: flag("values"),
    };
    match jobs::start(app, &request) {
        Ok(batch) => json(StatusCode::ACCEPTED, &batch.view()),
        Err(failure) => error(StatusCode::BAD_REQUEST, failure.to_string()),
    }
}

fn job(app: &App, id: u64) -> Answer {
    match app.jobs.get(id) {
        Some(batch) => json(StatusCode::OK, &batch.view()),
        None => error(
            StatusCode::NOT_FOUND,
            format!("there is no job {id} any more; /status lists the last ones"),
        ),
    }
}
