//! Configuration files of proxies under test.

use std::{cell::Cell, fmt::Write as _, net::SocketAddr, path::Path};

use crate::{Endpoint, Tls};

/// The environment variable that has every test's journal kept in the primary: `CROSSFADE_TEST_JOURNAL=primary`.
const JOURNAL: &str = "CROSSFADE_TEST_JOURNAL";

thread_local! {
    static IN_PRIMARY: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the journals of a test's proxies in the primary for as long as it lives. By thread: the main task of a test's runtime stays on it.
#[derive(Debug)]
pub struct InPrimary(());

impl InPrimary {
    /// From now on.
    #[must_use]
    pub fn begin() -> InPrimary {
        IN_PRIMARY.set(true);
        InPrimary(())
    }
}

impl Drop for InPrimary {
    fn drop(&mut self) {
        IN_PRIMARY.set(false);
    }
}

/// Whether the proxies of this test keep their journal in the primary.
#[must_use]
pub fn journal_in_primary() -> bool {
    IN_PRIMARY.get() || std::env::var(JOURNAL).is_ok_and(|place| place == "primary")
}

fn journal_line() -> &'static str {
    if journal_in_primary() {
        "journal = \"primary\"\n"
    } else {
        ""
    }
}

/// What a configuration file says. Ports and the state folder are the harness's.
#[derive(Debug, Clone)]
pub struct ConfigBuilder {
    old: String,
    new: String,
    top: String,
    sections: String,
    toggles: Vec<Toggle>,
    diskless: bool,
}

#[derive(Debug, Clone)]
struct Toggle {
    name: String,
    phase: String,
    tables: String,
}

impl ConfigBuilder {
    /// A file over these two stores, without a toggle.
    #[must_use]
    pub fn new(old: &Endpoint, new: &Endpoint) -> ConfigBuilder {
        let url = |endpoint: &Endpoint| format!("{}?sslmode=disable", endpoint.url());
        ConfigBuilder {
            old: format!("url = \"{}\"\n", url(old)),
            new: format!("url = \"{}\"\n", url(new)),
            // One thread: what does not work there does not work, and a thread more a test is a core less for others.
            top: format!("workers = 1\n{}", journal_line()),
            sections: String::new(),
            toggles: Vec::new(),
            diskless: false,
        }
    }

    /// A state folder that nobody can make.
    #[must_use]
    pub fn without_disk(mut self) -> Self {
        self.diskless = true;
        self
    }

    /// Another new store.
    #[must_use]
    pub fn new_url(mut self, url: &str) -> Self {
        self.new = format!("url = \"{url}\"\n");
        self
    }

    /// Adds a toggle. `tables` is TOML as in a real file: `[toggle.NAME.table.orders]` and what follows.
    #[must_use]
    pub fn toggle(mut self, name: &str, phase: &str, tables: &str) -> Self {
        self.toggles.push(Toggle {
            name: name.to_owned(),
            phase: phase.to_owned(),
            tables: tables.to_owned(),
        });
        self
    }

    /// Changes the phase of a toggle.
    ///
    /// # Panics
    /// When there is no such toggle.
    pub fn set_phase(&mut self, toggle: &str, phase: &str) {
        let found = self.toggles.iter_mut().find(|one| one.name == toggle);
        found.unwrap_or_else(|| panic!("no toggle {toggle}")).phase = phase.to_owned();
    }

    /// The phase that the file names.
    ///
    /// # Panics
    /// When there is no such toggle.
    #[must_use]
    pub fn phase(&self, toggle: &str) -> &str {
        &self
            .toggles
            .iter()
            .find(|one| one.name == toggle)
            .unwrap_or_else(|| panic!("no toggle {toggle}"))
            .phase
    }

    /// Adds a line at the top level.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Adds TOML sections, such as `[writes]` and what follows.
    #[must_use]
    pub fn section(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// Adds a line to `[old]`.
    #[must_use]
    pub fn old_line(mut self, line: &str) -> Self {
        self.old.push_str(line);
        self.old.push('\n');
        self
    }

    /// Adds a line to `[new]`.
    #[must_use]
    pub fn new_line(mut self, line: &str) -> Self {
        self.new.push_str(line);
        self.new.push('\n');
        self
    }

    /// Replaces the URLs' `sslmode=disable`, in both stores.
    #[must_use]
    pub fn store_tls(mut self, params: &str) -> Self {
        for store in [&mut self.old, &mut self.new] {
            *store = store.replace("sslmode=disable", params);
        }
        self
    }

    /// Offers TLS to clients, with the test servers' certificate.
    #[must_use]
    pub fn client_tls(self, tls: &Tls) -> Self {
        self.section(&format!(
            "[tls]\ncert = \"{}\"\nkey = \"{}\"",
            tls.cert.display(),
            tls.key.display()
        ))
    }

    /// The text of the file.
    pub(crate) fn render(&self, listen: SocketAddr, admin: SocketAddr, state_dir: &Path) -> String {
        let state_dir = if self.diskless {
            Path::new("/dev/null/state")
        } else {
            state_dir
        };
        let mut text = format!(
            "listen = \"{listen}\"\nadmin = \"{admin}\"\nstate_dir = \"{}\"\n",
            state_dir.display()
        );
        let ConfigBuilder {
            old,
            new,
            top,
            sections,
            toggles,
            diskless: _,
        } = self;
        let _ = write!(text, "{top}\n[old]\n{old}\n[new]\n{new}\n{sections}\n");
        for toggle in toggles {
            let _ = write!(
                text,
                "[toggle.{}]\nphase = \"{}\"\n\n{}\n",
                toggle.name, toggle.phase, toggle.tables
            );
        }
        text
    }
}
