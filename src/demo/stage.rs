//! Everything the demo starts, and how it ends again.

use std::{fs, sync::Arc, thread};

use super::{
    binaries,
    folder::Folder,
    halt::Halt,
    proxy::Proxy,
    screen::Screen,
    server::{self, Initialised, SHOP_USER, Server},
    settings::{self, Ports},
    tally::{Tally, describe},
    traffic::Targets,
};

/// Two servers with the shop's tables and a proxy before them. Ends in the order of its fields when dropped: also after a panic or Ctrl-C.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) proxy: Proxy,
    pub(super) old: Server,
    pub(super) new: Server,
    pub(super) screen: Arc<Screen>,
    pub(super) tally: Arc<Tally>,
    /// Operations until the old server was switched off.
    pub(super) operations_at_switch_off: Option<u64>,
    ports: Ports,
    folder: Folder,
}

impl Stage {
    /// Starts everything, in phase 1. `window_s` is the time in phase 4 that the step to 5 asks for; with `keep` all stays when the demo ends.
    ///
    /// # Errors
    /// When something cannot start; what was started ends again.
    pub(super) async fn set(
        screen: &Arc<Screen>,
        window_s: u64,
        keep: bool,
    ) -> Result<Stage, Halt> {
        let bin = binaries::find()?;
        screen.say(format!(
            "  two throwaway PostgreSQL servers from {}",
            bin.display()
        ));
        let folder = Folder::new(keep)?;
        let ports = Ports::free().map_err(|why| Halt::broken("no free port", why))?;
        // A server ends with the thread that started it: only the data folders are made on threads of their own.
        let (old, new) = thread::scope(|scope| {
            let new = scope.spawn(|| Initialised::new(&bin, &folder, "new"));
            let old = Initialised::new(&bin, &folder, "old");
            let new = new
                .join()
                .unwrap_or_else(|_| Err(Halt::Broken("making a data folder failed".to_owned())));
            Ok::<_, Halt>((old?, new?))
        })?;
        let (old, new) = (
            old.start(&bin, ports.old, keep)?,
            new.start(&bin, ports.new, keep)?,
        );
        let (old, new) = (old.ready().await?, new.ready().await?);
        load(&old, &[include_str!("old.sql"), include_str!("rows.sql")]).await?;
        load(&new, &[include_str!("new.sql")]).await?;
        let file = folder.path().join("crossfade.toml");
        fs::write(&file, settings::text(ports, window_s))
            .map_err(|why| Halt::broken(file.display(), why))?;
        let mut proxy = Proxy::start(folder.path(), file, ports, keep)?;
        proxy.ready().await?;
        screen.say(format!(
            "  old store on port {}, new store on port {}, crossfade before them on port {} (status page: http://127.0.0.1:{}/)",
            ports.old, ports.new, ports.listen, ports.admin
        ));
        let (screen, tally) = (screen.clone(), Arc::new(Tally::new()));
        Ok(Stage {
            proxy,
            old,
            new,
            screen,
            tally,
            operations_at_switch_off: None,
            ports,
            folder,
        })
    }

    /// Where clients connect.
    pub(super) fn targets(&self) -> Targets {
        Targets {
            proxy: server::config(self.ports.listen, SHOP_USER),
            old: self.old.config(SHOP_USER),
            new: self.new.config(SHOP_USER),
        }
    }

    /// How to reach what is kept.
    pub(super) fn kept(&mut self) -> String {
        let url = |port: u16, user: &str| {
            format!(
                "postgres://{user}:{}@127.0.0.1:{port}/{}",
                server::PASSWORD,
                server::DATABASE
            )
        };
        let folder = self.folder.path().display();
        let mut processes = vec![self.proxy.id(), self.new.id()];
        let old = if self.old.is_up() {
            processes.push(self.old.id());
            format!("psql {}", url(self.old.port(), server::PROXY_USER))
        } else {
            format!("switched off; its data is in {}", self.old.data().display())
        };
        let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
        let file = self.proxy.file().display();
        format!(
            "kept: {folder}\n  through the proxy  psql {}\n  new store          psql {}\n  old store          {old}\n  \
             configuration      {file}\n  status             crossfade status -c {file}\n  to end it          kill {}; sleep 2; rm -r {folder}",
            url(self.ports.listen, SHOP_USER),
            url(self.new.port(), server::PROXY_USER),
            processes.join(" "),
        )
    }
}

async fn load(server: &Server, scripts: &[&str]) -> Result<(), Halt> {
    let client = server.connect().await?;
    for script in scripts {
        client
            .batch_execute(script)
            .await
            .map_err(|error| Halt::broken("the demo's tables", describe(&error)))?;
    }
    Ok(())
}
