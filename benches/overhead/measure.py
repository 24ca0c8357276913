"""One cell on one target: what the clients saw, and what the proxy spent."""

import json
import pathlib
import re
import socket
import struct
import subprocess
import tempfile
import time

from servers import postgres_bin

SCRIPTS = pathlib.Path(__file__).resolve().parent / "scripts"
BUILT_IN = {"select": ["-b", "select-only"], "tpcb": ["-b", "tpcb-like"]}


def cpu_s(pid):
    """CPU seconds of a process, all threads: the scheduler's own count, which has no 10 ms ticks."""
    if pid is None:
        return 0.0
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def memory_kb(pid, field):
    """`VmRSS` or `VmHWM` of a process."""
    if pid is None:
        return 0
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1))


def forget_peak(pid):
    """Lets VmHWM begin anew."""
    if pid is not None:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


def pgbench(bench, target, cell, seconds):
    """Runs pgbench for a while."""
    script = BUILT_IN.get(cell["script"]) or ["-f", str(SCRIPTS / f"{cell['script']}.sql")]
    pid = bench.pids[target]
    with tempfile.TemporaryDirectory() as logs:
        command = [postgres_bin("pgbench"), "-n", "-M", cell["mode"], *script, "-c", str(cell["clients"]), "-j", "1",
                   "-T", str(max(1, round(seconds))), "-l", "--log-prefix", f"{logs}/log", "-h", "127.0.0.1",
                   "-p", str(bench.ports[target]), "-U", "postgres", "-D", f"scale={bench.options.scale}",
                   bench.databases[target]]
        forget_peak(pid)
        before = cpu_s(pid)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        spent = cpu_s(pid) - before
        latencies = [int(line.split()[2]) for log in pathlib.Path(logs).iterdir() for line in open(log, encoding="utf-8")]
    said = done.stdout + done.stderr
    tps = re.search(r"tps = ([\d.]+)", said)
    failed = re.search(r"number of failed transactions: (\d+)", said)
    if done.returncode != 0 or not tps or not latencies or (failed and int(failed.group(1))):
        return {"error": said[-500:]}
    return {
        "transactions": len(latencies), "tps": float(tps.group(1)),
        "mean_us": sum(latencies) / len(latencies), "p99_us": percentile(latencies, 0.99),
        "cpu_us": spent * 1e6 / len(latencies), "peak_rss_kb": memory_kb(pid, "VmHWM"),
    }


def both_stores(bench, target, write, clients, options):
    """The client for two stores, on both directly (`both`) or through one proxy."""
    if target == "both":
        urls = [bench.old.url("base"), bench.new.url("base")]
    else:
        urls = [f"postgres://postgres@127.0.0.1:{bench.ports[target]}/{bench.databases[target]}"]
    pid = bench.pids.get(target)
    forget_peak(pid)
    before = cpu_s(pid)
    command = [options.both_stores, write, str(clients), str(options.seconds), *urls]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stdout + done.stderr)[-500:]}
    seen = json.loads(done.stdout)
    return {
        "transactions": seen["transactions"], "tps": seen["transactions"] / seen["seconds"],
        "mean_us": seen["mean_us"], "p99_us": seen["p99_us"],
        "cpu_us": (cpu_s(pid) - before) * 1e6 / max(1, seen["transactions"]), "peak_rss_kb": memory_kb(pid, "VmHWM"),
    }


def memory(bench, options):
    """Resident memory at rest, and what an idle connection adds."""
    seen = {}
    for target in options.targets:
        pid = bench.pids[target]
        if pid is None or not options.idle:
            continue
        rest = memory_kb(pid, "VmRSS")
        connections = [sign_in(bench.ports[target], bench.databases[target]) for _ in range(options.idle)]
        time.sleep(0.5)
        full = memory_kb(pid, "VmRSS")
        for connection in connections:
            connection.close()
        time.sleep(1)
        seen[target] = {"rest_kb": rest, "connections": options.idle, "kb_each": (full - rest) / options.idle}
    return seen


def sign_in(port, database):
    """A connection that has said who it is and then says nothing."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    body = struct.pack(">I", 196608) + b"user\0postgres\0database\0" + database.encode() + b"\0\0"
    connection.sendall(struct.pack(">I", len(body) + 4) + body)
    received = b""
    while not received.endswith(b"Z\0\0\0\x05I"):
        chunk = connection.recv(4096)
        if not chunk:
            raise SystemExit(f"not signed in: {received!r}")
        received += chunk
    return connection
