//! How test servers are set up.

/// Appended to `postgresql.conf`. A killed process loses nothing without fsync, only a machine does.
pub(crate) const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 32MB
fsync = off
full_page_writes = off
wal_level = logical
max_wal_size = 256MB
min_wal_size = 32MB
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = none
lc_messages = 'C'
";

/// The same for a server that can talk TLS.
pub(crate) const TLS: &str = "
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
";

/// Who may come in, and how: an account for each way of signing in, so that one server serves every test.
pub(crate) const HBA: &str = "
host      all app_md5       127.0.0.1/32 md5
host      all app_scram     127.0.0.1/32 scram-sha-256
host      all app_password  127.0.0.1/32 password
hostssl   all app_tls       127.0.0.1/32 scram-sha-256
host      all app_rejected  127.0.0.1/32 reject
host      all app_tls       127.0.0.1/32 reject
host      all all           127.0.0.1/32 trust
host      replication all   127.0.0.1/32 trust
";

/// One statement a line: `crossfade` is the proxy's own account, the others are applications.
pub(crate) const ROLES: &str = "\
CREATE ROLE crossfade SUPERUSER LOGIN PASSWORD 'proxy secret'
CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'
CREATE ROLE app_scram SUPERUSER LOGIN PASSWORD 'secret'
CREATE ROLE app_password SUPERUSER LOGIN PASSWORD 'secret'
CREATE ROLE app_tls SUPERUSER LOGIN PASSWORD 'secret'
CREATE ROLE app_rejected SUPERUSER LOGIN PASSWORD 'secret'
SET password_encryption = 'md5'
CREATE ROLE app_md5 SUPERUSER LOGIN PASSWORD 'secret'
";
