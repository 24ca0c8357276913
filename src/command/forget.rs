//! `crossfade forget`: goes on without a proxy that will not come back.

use std::{process::ExitCode, time::Duration};

use crossfade_toggle::Reason;

use super::{Peer, on_runtime};
use crate::{admin::asks::Forgotten, cli::ForgetArgs, control, failure::Failure};

/// Time in which a proxy that lives gives a sign of life.
const WATCH: Duration = Duration::from_secs(8);

/// Has a proxy forgotten.
///
/// # Errors
/// When it still is there, or is not known.
pub(crate) fn run(args: &ForgetArgs) -> Result<ExitCode, Failure> {
    let reason = Reason::new(&args.because).map_err(|empty| Failure::usage(empty.to_string()))?;
    on_runtime(&args.file.config, async |loaded| {
        let toggles = match Peer::find(&loaded, &args.file.config).await? {
            Peer::Serving(client) => {
                let parts = [("proxy", args.proxy.as_str()), ("because", reason.as_str())];
                client.post::<Forgotten>("/forget", &parts).await?.toggles
            }
            Peer::Alone(app) => {
                control::join(&app).await?;
                tokio::time::sleep(WATCH).await;
                let outcome = control::forget(&app, &args.proxy, &reason).await;
                control::leave(&app).await;
                outcome?
            }
        };
        sayln!(
            "proxy \"{}\" is forgotten (toggle {}); `crossfade status` shows which tables have to be verified, and which keys the others have taken over",
            args.proxy,
            toggles.join(", ")
        );
        Ok(ExitCode::SUCCESS)
    })
}
