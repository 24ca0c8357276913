//! `crossfade phase`: shows phases, or moves a toggle.

mod alone;
mod inside;

use std::{fs, path::Path, process::ExitCode};

use crossfade_config::{Loaded, edit};
use crossfade_phase::Phase;
use crossfade_toggle::Reason;

use super::{Peer, on_runtime, status::toggle_text};
use crate::{admin::asks::GuardAnswer, cli::PhaseArgs, failure::Failure, status::gather};

/// Shows or moves.
///
/// # Errors
/// When the guard refuses, or something is wrong.
pub(crate) fn run(args: &PhaseArgs) -> Result<ExitCode, Failure> {
    on_runtime(&args.file.config, async |loaded| {
        match (&args.toggle, &args.phase) {
            (Some(toggle), Some(phase)) => {
                let wish = Wish::new(args, &loaded, toggle, phase)?;
                match Peer::find(&loaded, &args.file.config).await? {
                    Peer::Serving(client) => inside::move_to(&client, &wish).await,
                    Peer::Alone(app) => alone::move_to(&app, &wish).await,
                }
            }
            (toggle, _) => show(args, &loaded, toggle.as_deref()).await,
        }
    })
}

/// A move that an operator asks for.
struct Wish<'a> {
    file: &'a Path,
    toggle: &'a str,
    to: Phase,
    /// The file with the phase in it.
    text: String,
    because: Option<Reason>,
    wait: bool,
}

impl<'a> Wish<'a> {
    fn new(
        args: &'a PhaseArgs,
        loaded: &Loaded,
        toggle: &'a str,
        phase: &str,
    ) -> Result<Wish<'a>, Failure> {
        known(loaded, toggle)?;
        let to: Phase = phase
            .parse()
            .map_err(|unknown: crossfade_phase::UnknownPhase| {
                Failure::usage(unknown.to_string())
            })?;
        let file = &args.file.config;
        let text = fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!(
                "cannot read \"{}\": {error}; name a readable file with -c FILE",
                file.display()
            ))
        })?;
        let text = edit::set_phase(&text, toggle, to).map_err(|error| {
            Failure::usage(format!(
                "the phase cannot be written into \"{}\": {error}",
                file.display()
            ))
        })?;
        let because = args
            .because
            .as_deref()
            .map(Reason::new)
            .transpose()
            .map_err(|empty| Failure::usage(empty.to_string()))?;
        Ok(Wish {
            file,
            toggle,
            to,
            text,
            because,
            wait: args.wait,
        })
    }

    /// Puts the phase into the file.
    fn write(&self) -> Result<(), Failure> {
        edit::write_atomically(self.file, &self.text).map_err(|error| {
            Failure::broken(format!(
                "cannot write \"{}\": {error}; set phase = \"{}\" in [toggle.{}] by hand",
                self.file.display(),
                self.to,
                self.toggle
            ))
        })
    }
}

fn known(loaded: &Loaded, toggle: &str) -> Result<(), Failure> {
    if loaded.config.toggles.contains_key(toggle) {
        return Ok(());
    }
    let names: Vec<&str> = loaded.config.toggles.keys().map(String::as_str).collect();
    let has = if names.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", names.join(", "))
    };
    Err(Failure::usage(format!(
        "the file has no toggle \"{toggle}\"; {has}"
    )))
}

/// Every failing condition on a line of its own, with the command that fixes it.
fn refusal(answer: &GuardAnswer) -> String {
    let mut text = match answer.legal {
        true => format!("{} is refused", answer.step),
        false => "there is no such step".to_owned(),
    };
    for unmet in &answer.unmet {
        text.push_str(&format!("\n  {}\n    → {}", unmet.what, unmet.command));
    }
    for detail in &answer.details {
        text.push_str(&format!("\n  {detail}"));
    }
    if answer.legal {
        text.push_str(
            "\nthe file is unchanged; --because \"…\" overrides the guard and is recorded",
        );
    } else {
        text.push_str("\nthe file is unchanged");
    }
    text
}

async fn show(
    args: &PhaseArgs,
    loaded: &Loaded,
    toggle: Option<&str>,
) -> Result<ExitCode, Failure> {
    if let Some(toggle) = toggle {
        known(loaded, toggle)?;
    }
    let status = match Peer::find(loaded, &args.file.config).await? {
        Peer::Serving(client) => client.get("/status", &[]).await?,
        Peer::Alone(app) => gather(&app),
    };
    for (name, known) in status
        .toggles
        .iter()
        .filter(|(name, _)| toggle.is_none_or(|toggle| toggle == *name))
    {
        match toggle {
            Some(_) => say!("{}", toggle_text(name, known).trim_start()),
            None => sayln!(
                "{name}: {} (the file wants {})",
                known.effective,
                known.wanted
            ),
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::asks::UnmetAnswer;

    #[test]
    fn a_refusal_names_every_condition_with_its_command() {
        let unmet = |what: &str, command: &str| UnmetAnswer {
            what: what.into(),
            command: command.into(),
        };
        let answer = GuardAnswer {
            ok: false,
            legal: true,
            passing: false,
            step: "dual-write (3) → dual-read (4)".into(),
            unmet: vec![
                unmet("the journal holds 2 dirty keys", "crossfade repair"),
                unmet("table \"a\" was bypassed", "crossfade verify --table a"),
            ],
            details: vec!["table \"a\" was never copied".into()],
        };
        let text = refusal(&answer);
        assert!(
            text.contains("2 dirty keys\n    → crossfade repair\n")
                && text.contains("→ crossfade verify --table a")
                && text.contains("--because"),
            "{text}"
        );
        assert!(
            !refusal(&GuardAnswer {
                legal: false,
                ..answer
            })
            .contains("--because")
        );
    }
}
