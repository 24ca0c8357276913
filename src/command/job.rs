//! `crossfade backfill`, `verify` and `repair`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use super::{Client, Peer, on_runtime, progress::Progress};
use crate::{
    cli::{JobArgs, VerifyArgs},
    control,
    failure::{Failure, Status},
    jobs::{self, Batch, BatchView, Kind, Request},
};

/// Time between two looks at a running job.
const LOOK: Duration = Duration::from_millis(150);

/// Copies.
///
/// # Errors
/// When the job cannot begin.
pub(crate) fn backfill(args: &JobArgs) -> Result<ExitCode, Failure> {
    run(args, request(args, Kind::Backfill))
}

/// Compares.
///
/// # Errors
/// When the job cannot begin.
pub(crate) fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    run(
        &args.job,
        Request {
            repair: args.repair,
            values: args.values,
            ..request(&args.job, Kind::Verify)
        },
    )
}

/// Repairs.
///
/// # Errors
/// When the job cannot begin.
pub(crate) fn repair(args: &JobArgs) -> Result<ExitCode, Failure> {
    run(args, request(args, Kind::Repair))
}

fn request(args: &JobArgs, kind: Kind) -> Request {
    Request {
        kind,
        table: args.table.clone(),
        toggle: None,
        reverse: args.reverse,
        repair: false,
        values: false,
    }
}

/// A job that was started.
enum Started {
    Inside(Client, u64),
    Here(Arc<Batch>),
}

impl Started {
    async fn view(&self) -> Result<BatchView, Failure> {
        match self {
            Started::Inside(client, id) => client.get(&format!("/jobs/{id}"), &[]).await,
            Started::Here(batch) => Ok(batch.view()),
        }
    }
}

fn run(args: &JobArgs, request: Request) -> Result<ExitCode, Failure> {
    on_runtime(&args.file.config, async |loaded| {
        match Peer::find(&loaded, &args.file.config).await? {
            Peer::Serving(client) => watch(start_inside(client, &request).await?).await,
            Peer::Alone(app) => {
                // Others may serve the same migration elsewhere.
                control::join(&app).await?;
                let outcome = match jobs::start(&app, &request) {
                    Ok(batch) => watch(Started::Here(batch)).await,
                    Err(failure) => Err(failure),
                };
                control::leave(&app).await;
                outcome
            }
        }
    })
}

async fn watch(started: Started) -> Result<ExitCode, Failure> {
    let mut progress = Progress::new();
    loop {
        let view = started.view().await?;
        progress.show(&view);
        if view.has_ended() {
            return Ok(exit_code(&view));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn start_inside(client: Client, request: &Request) -> Result<Started, Failure> {
    let flag = |set: bool| if set { "1" } else { "0" };
    let mut parts = vec![
        ("reverse", flag(request.reverse)),
        ("repair", flag(request.repair)),
        ("values", flag(request.values)),
    ];
    parts.extend(request.table.as_deref().map(|table| ("table", table)));
    let view: BatchView = client
        .post(&format!("/jobs/{}", request.kind.name()), &parts)
        .await?;
    eprintln!(
        "job {} runs inside the proxy and goes on there if this command is interrupted",
        view.id
    );
    Ok(Started::Inside(client, view.id))
}

fn exit_code(view: &BatchView) -> ExitCode {
    match view.status() {
        None => ExitCode::SUCCESS,
        Some(status) => {
            if status == Status::Broken {
                eprintln!(
                    "crossfade: what was done is durable; the same command goes on from there"
                );
            }
            ExitCode::from(status as u8)
        }
    }
}
