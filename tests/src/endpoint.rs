//! Something that speaks PostgreSQL, and the drivers that speak to it.

use std::{
    net::SocketAddr,
    process::{Command, Output},
};

use tokio_postgres::{Client, Config, NoTls};

use crate::{Wire, postgres::program};

/// Accounts of the test servers, one for each way of signing in. All are superusers with the password `secret`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// No password is asked for.
    Trust,
    /// MD5 challenge.
    Md5,
    /// SCRAM-SHA-256.
    Scram,
    /// Password in the clear.
    Password,
    /// SCRAM-SHA-256, and only over TLS.
    TlsOnly,
    /// Never let in.
    Rejected,
}

impl Account {
    /// Every account that can sign in without TLS.
    pub const PLAIN: [Account; 4] = [
        Account::Trust,
        Account::Md5,
        Account::Scram,
        Account::Password,
    ];

    /// Role name.
    #[must_use]
    pub fn user(self) -> &'static str {
        match self {
            Account::Trust => "app",
            Account::Md5 => "app_md5",
            Account::Scram => "app_scram",
            Account::Password => "app_password",
            Account::TlsOnly => "app_tls",
            Account::Rejected => "app_rejected",
        }
    }
}

/// Address, database and account: a server itself, or the proxy in front of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Database name.
    pub database: String,
    /// Role name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Endpoint {
    /// The same, signing in as `account`.
    #[must_use]
    pub fn account(&self, account: Account) -> Endpoint {
        Endpoint {
            user: account.user().to_owned(),
            ..self.clone()
        }
    }

    /// The same with another password.
    #[must_use]
    pub fn password(&self, password: &str) -> Endpoint {
        Endpoint {
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// The same with another database.
    #[must_use]
    pub fn database(&self, database: &str) -> Endpoint {
        Endpoint {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// A `postgres://` URL.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password.replace(' ', "%20");
        format!(
            "postgres://{}:{password}@{}/{}",
            self.user, self.addr, self.database
        )
    }

    /// A driver's connection.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(&self) -> Client {
        self.try_connect()
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {self:?}: {error:?}"))
    }

    /// A driver's connection, or why not.
    ///
    /// # Errors
    /// The driver's.
    pub async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.driver().connect(NoTls).await?;
        // Ends with the client; what broke it shows in the client's next call.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The driver's settings, to be changed before connecting.
    #[must_use]
    pub fn driver(&self) -> Config {
        let mut config = Config::new();
        config
            .host(self.addr.ip().to_string())
            .port(self.addr.port())
            .connect_timeout(std::time::Duration::from_secs(10));
        config
            .dbname(&self.database)
            .user(&self.user)
            .password(&self.password)
            .application_name("tests");
        config
    }

    /// A raw connection, signed in.
    pub async fn wire(&self) -> Wire {
        Wire::login(self).await
    }

    /// Runs `psql` with these arguments (quiet, unaligned, rows only) and waits for its end.
    #[must_use]
    pub fn psql(&self, args: &[&str]) -> Output {
        self.psql_with("sslmode=prefer", args)
    }

    /// As [`Endpoint::psql`], with further connection parameters such as `sslmode=require`.
    #[must_use]
    pub fn psql_with(&self, params: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program("psql"));
        let Endpoint {
            addr,
            database,
            user,
            ..
        } = self;
        let target = format!(
            "host={} port={} dbname={database} user={user} connect_timeout=10 {params}",
            addr.ip(),
            addr.port()
        );
        command
            .env("PGPASSWORD", &self.password)
            .args(["-X", "-q", "-A", "-t", "-d", &target])
            .args(args);
        command.output().unwrap()
    }

    /// Runs `pgbench` with these arguments and waits for its end.
    #[must_use]
    pub fn pgbench(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program("pgbench"));
        command
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .args(args);
        command.args([
            "-h",
            &self.addr.ip().to_string(),
            "-p",
            &self.addr.port().to_string(),
            "-U",
            &self.user,
        ]);
        command.arg(&self.database).output().unwrap()
    }
}
