//! Everything the demo starts, and how it ends again.

use std::{fs, path::Path, sync::Arc, thread};

use crate::cli::NewStore;

use super::{
    binaries,
    folder::Folder,
    halt::Halt,
    mongod::Mongod,
    new::New,
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
    pub(super) new: New,
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
        kind: NewStore,
        window_s: u64,
        keep: bool,
    ) -> Result<Stage, Halt> {
        let bin = binaries::find()?;
        let folder = Folder::new(keep)?;
        let ports = Ports::free().map_err(|why| Halt::broken("no free port", why))?;
        let (old, new) = match kind {
            NewStore::Postgres => two_postgres(&bin, &folder, ports, keep).await?,
            NewStore::Mongodb => postgres_and_mongo(&bin, &folder, ports, keep).await?,
        };
        screen.say(format!(
            "crossfade demo: a shop moves from a PostgreSQL server to {} while its clients work",
            new.kind()
        ));
        load(&old, &[include_str!("old.sql"), include_str!("rows.sql")]).await?;
        if let New::Postgres(new) = &new {
            load(new, &[include_str!("new.sql")]).await?;
        }
        let file = folder.path().join("crossfade.toml");
        fs::write(&file, settings::text(ports, kind, window_s))
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
            new: self.new.direct(),
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
            "kept: {folder}\n  through the proxy  psql {}\n  new store          {}\n  old store          {old}\n  \
             configuration      {file}\n  status             crossfade status -c {file}\n  to end it          kill {}; sleep 2; rm -r {folder}",
            url(self.ports.listen, SHOP_USER),
            self.new.how_to_reach(),
            processes.join(" "),
        )
    }
}

/// Only the data folders are made on threads of their own: a server ends with the thread that started it.
async fn two_postgres(
    bin: &Path,
    folder: &Folder,
    ports: Ports,
    keep: bool,
) -> Result<(Server, New), Halt> {
    let (old, new) = thread::scope(|scope| {
        let new = scope.spawn(|| Initialised::new(bin, folder, "new"));
        let old = Initialised::new(bin, folder, "old");
        let new = new
            .join()
            .unwrap_or_else(|_| Err(Halt::Broken("making a data folder failed".to_owned())));
        Ok::<_, Halt>((old?, new?))
    })?;
    let (old, new) = (
        old.start(bin, ports.old, keep)?,
        new.start(bin, ports.new, keep)?,
    );
    Ok((old.ready().await?, New::Postgres(new.ready().await?)))
}

async fn postgres_and_mongo(
    bin: &Path,
    folder: &Folder,
    ports: Ports,
    keep: bool,
) -> Result<(Server, New), Halt> {
    let new = Mongod::start(folder, ports.new, keep)?;
    let old = Initialised::new(bin, folder, "old")?.start(bin, ports.old, keep)?;
    Ok((old.ready().await?, New::Mongo(new.ready().await?)))
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
