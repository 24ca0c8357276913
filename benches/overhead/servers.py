"""Throwaway servers, poolers and proxies: loopback only, unprivileged, ended with the run."""

import glob
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

NOBODY = 65534
PHASES = ["deploy-new", "use-old", "dual-write", "dual-read", "new-primary", "new-writes", "backfill", "new-only"]
TABLES = """
[toggle.shop.table.pgbench_accounts]
[toggle.shop.table.pgbench_tellers]
[toggle.shop.table.pgbench_branches]
[toggle.shop.table.pgbench_history]
[toggle.shop.table.events]
"""
# pgbench's history has no key, and a table without one cannot be migrated.
SCHEMA = """
ALTER TABLE pgbench_history ADD COLUMN id bigserial PRIMARY KEY;
CREATE TABLE events (id bigserial PRIMARY KEY, client int, payload text, at timestamptz DEFAULT now());
"""


def postgres_bin(name):
    """A program of the newest PostgreSQL server on this machine."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    if found:
        return max(found, key=lambda path: int(path.split("/")[4]))
    path = shutil.which(name)
    if not path:
        raise SystemExit(f"no {name} on this machine: run scripts/setup")
    return path


def unprivileged(command):
    """The command as a user that may run a server: PostgreSQL and PgBouncer refuse to be root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A child in a log file of its own."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.pid = self.child.pid

    def stop(self, how=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def check(self):
        if self.child.poll() is not None:
            raise SystemExit(f"it ended:\n{pathlib.Path(self.log).read_text()[-2000:]}")


class Server:
    """One PostgreSQL."""

    def __init__(self, folder, name, options):
        self.port = free_port()
        data = folder / name
        data.mkdir()
        give(data)
        quiet(unprivileged([postgres_bin("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                            "--locale=C.UTF-8", "--no-sync"]))
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "",
            "max_connections": options.idle + 300, "shared_buffers": "512MB", "max_wal_size": "4GB",
            "checkpoint_timeout": "1h", "fsync": "off" if options.no_fsync else "on", "wal_level": "logical",
            # The machine is small and the run short: no vacuum in the middle of one target's cell.
            "autovacuum": "off",
        }
        conf = data / "postgresql.conf"
        conf.write_text(conf.read_text() + "".join(f"{key} = '{value}'\n" for key, value in settings.items()))
        self.process = Process(unprivileged([postgres_bin("postgres"), "-D", str(data)]), folder / f"{name}.log")
        wait_for(f"server {name}", lambda: self.ready())

    def ready(self):
        self.process.check()
        command = [postgres_bin("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def psql(self, database, sql):
        command = [postgres_bin("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                   str(self.port), "-U", "postgres", "-d", database, "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def url(self, database):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def stop(self):
        self.process.stop(signal.SIGQUIT)


class Crossfade:
    """One proxy, walked to its phase over databases of its own."""

    def __init__(self, folder, number, bench, options):
        self.folder = folder / f"phase{number}"
        self.folder.mkdir()
        self.database = f"phase{number}"
        self.port, self.admin = free_port(), free_port()
        self.binary = options.crossfade
        self.bench = bench
        self.workers = json.dumps(options.workers)
        self.write(PHASES[0])
        self.process = Process([self.binary, "serve", "-c", str(self.file)], self.folder / "log")
        wait_for("the proxy", self.ready)
        for phase in PHASES[1:number]:
            self.flip(phase)
        self.pid = self.process.pid

    @property
    def file(self):
        return self.folder / "crossfade.toml"

    def write(self, phase):
        """Writes the file as an editor does: under another name, then renamed."""
        old, new = (server.url(self.database) + "?sslmode=disable" for server in (self.bench.old, self.bench.new))
        text = (f'workers = {self.workers}\nlisten = "127.0.0.1:{self.port}"\nadmin = "127.0.0.1:{self.admin}"\n'
                f'state_dir = "{self.folder}/state"\n[old]\nurl = "{old}"\n[new]\nurl = "{new}"\n'
                f'[clients]\nmax_connections = 2000\n[flips]\nmismatch_window = "0s"\n'
                f'[toggle.shop]\nphase = "{phase}"\n{TABLES}')
        partial = self.file.with_suffix(".partial")
        partial.write_text(text)
        partial.rename(self.file)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return answer.read()

    def ready(self):
        self.process.check()
        try:
            self.get("/readyz")
            return True
        except OSError:
            return False

    def toggle(self):
        return json.loads(self.get("/status"))["toggles"]["shop"]

    def flip(self, phase):
        self.write(phase)

        def effective():
            toggle = self.toggle()
            if toggle["wanted"] == phase and toggle.get("refusal"):
                raise SystemExit(f"the flip to {phase} was refused: {toggle['refusal']}")
            return toggle["effective"] == phase

        wait_for(f"phase {phase}", effective, 120)
        if phase == "dual-write":
            for command in ("backfill", "verify"):
                quiet([self.binary, command, "-c", str(self.file)])
        if phase == "backfill":
            wait_for("complete tables",
                     lambda: all(table["complete"] for table in self.toggle()["tables"].values()), 300)

    def stop(self):
        self.process.stop()


class PgBouncer:
    """Debian's PgBouncer: session mode, and room for as many sessions as the others have."""

    def __init__(self, folder, server, database, options):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not os.path.exists(program):
            raise SystemExit("no pgbouncer on this machine: apt-get install pgbouncer")
        self.port = free_port()
        home = folder / "pgbouncer"
        home.mkdir()
        (home / "users").write_text('"postgres" ""\n')
        (home / "pgbouncer.ini").write_text(
            f"[databases]\n{database} = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\npool_mode = session\n"
            f"auth_type = trust\nauth_file = {home}/users\nmax_client_conn = {options.idle + 200}\n"
            f"default_pool_size = {options.idle + 200}\n")
        give(home)
        self.process = Process(unprivileged([program, str(home / "pgbouncer.ini")]), folder / "pgbouncer.log")
        self.pid = self.process.pid
        wait_for("pgbouncer", lambda: self.process.check() or listens(self.port))

    def stop(self):
        self.process.stop(signal.SIGINT)


class Bench:
    """Both servers and every target of the run. `ports` and `pids` by target; the server itself has no pid."""

    def __init__(self, folder, options):
        folder.chmod(0o755)
        self.folder, self.options = folder, options
        self.running = []
        self.ports, self.pids, self.databases = {}, {}, {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for one in reversed(self.running):
            one.stop()

    def start(self):
        options = self.options
        self.old = self.keep(Server(self.folder, "old", options))
        self.new = self.keep(Server(self.folder, "new", options))
        numbers = [int(target[5:]) for target in options.targets if target.startswith("phase")]
        self.tables(["base", *(f"phase{number}" for number in numbers)])
        self.add("direct", self.old.port, None, "base")
        if "pgbouncer" in options.targets:
            pooler = self.keep(PgBouncer(self.folder, self.old, "base", options))
            self.add("pgbouncer", pooler.port, pooler.pid, "base")
        for number in numbers:
            proxy = self.keep(Crossfade(self.folder, number, self, options))
            self.add(f"phase{number}", proxy.port, proxy.pid, proxy.database)

    def add(self, target, port, pid, database):
        self.ports[target], self.pids[target], self.databases[target] = port, pid, database

    def keep(self, one):
        self.running.append(one)
        return one

    def tables(self, databases):
        """The same tables in each database of both servers, made once and copied."""
        for server in (self.old, self.new):
            server.psql("postgres", "CREATE DATABASE made")
            quiet([postgres_bin("pgbench"), "-i", "-q", "-s", str(self.options.scale), "-h", "127.0.0.1", "-p",
                   str(server.port), "-U", "postgres", "made"])
            server.psql("made", SCHEMA)
            server.psql("made", "VACUUM ANALYZE")
            for database in databases:
                server.psql("postgres", f"CREATE DATABASE {database} TEMPLATE made STRATEGY file_copy")


def give(folder):
    """Hands a folder and what is in it to the user that servers run as."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)


def quiet(command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def facts(options):
    """The machine and the versions, as far as they explain numbers."""
    def says(*command):
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            return "unknown"

    with open("/proc/cpuinfo", encoding="utf-8") as cpus:
        models = [line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")]
    return {
        "cores": os.cpu_count(), "cpu": models[0] if models else platform.machine(), "kernel": platform.release(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "postgres": says(postgres_bin("postgres"), "--version"),
        "pgbouncer": says(shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "--version"),
        "crossfade": says(options.crossfade, "--version"), "commit": says("git", "rev-parse", "--short", "HEAD"),
        "rustc": says("rustc", "--version"),
    }
