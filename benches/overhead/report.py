"""Raw rows as tables to read: medians over the rounds, ratios within each round."""

import statistics


def cell_name(cell):
    return f"{cell['script']}, {cell['mode']}, {cell['clients']} cl."


def brief(seen):
    if "error" in seen:
        return "FAILED: " + " ".join(seen["error"].split())[-160:]
    return (f"{seen['tps']:9.0f} tps  mean {seen['mean_us'] / 1000:7.2f} ms  p99 {seen['p99_us'] / 1000:7.2f} ms  "
            f"cpu {seen['cpu_us']:7.1f} us")


def markdown(run):
    """The whole summary."""
    facts = run["facts"]
    lines = [
        f"# {run['what']}, {run['when']}",
        "",
        f"{facts['cores']} cores ({facts['cpu']}), kernel {facts['kernel']}, {facts['postgres']}, {facts['pgbouncer']}, "
        f"{facts['crossfade']} at {facts['commit']}; fsync {'off' if run['options']['no_fsync'] else 'on'}; "
        f"{run['options']['rounds']} rounds of {run['options']['seconds']:g} s a cell.",
        "",
        "Medians over the rounds. '× PgBouncer' is the median of the ratios within each round. CPU is the proxy's own, in "
        "microseconds a transaction.",
        "",
    ]
    lines += memory_table(run["memory"])
    cells = []
    for row in run["rows"]:
        key = (row["script"], row["mode"], row["clients"])
        if key not in cells:
            cells.append(key)
    for script in dict.fromkeys(key[0] for key in cells):
        lines += script_table(script, [key for key in cells if key[0] == script], run["rows"])
    return "\n".join(lines)


def memory_table(memory):
    if not memory:
        return []
    lines = ["## Memory", "", "| target | at rest | each idle connection |", "| --- | ---: | ---: |"]
    for target, seen in memory.items():
        lines.append(f"| {target} | {seen['rest_kb'] / 1024:.1f} MB | {seen['kb_each']:.1f} kB of {seen['connections']} |")
    return [*lines, ""]


def script_table(script, cells, rows):
    base = "both" if script.startswith("own-") else "pgbouncer"
    title = "× both" if base == "both" else "× PgBouncer"
    lines = [f"## {script}", "",
             f"| mode | clients | target | tps | {title} | mean ms | p99 ms | CPU us | {title} | peak RSS MB |",
             "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for _, mode, clients in cells:
        mine = [row for row in rows if (row["script"], row["mode"], row["clients"]) == (script, mode, clients)]
        for target in dict.fromkeys(row["target"] for row in mine):
            lines.append(f"| {mode} | {clients} | {target} | {line(mine, target, base)} |")
    return [*lines, ""]


def line(rows, target, base):
    own = {row["round"]: row for row in rows if row["target"] == target and "error" not in row}
    if not own:
        error = next(row["error"] for row in rows if row["target"] == target)
        return "failed: " + " ".join(error.split())[-100:].replace("|", "/") + " | | | | | |"
    bases = {row["round"]: row for row in rows if row["target"] == base and "error" not in row}

    def median(field):
        return statistics.median(row[field] for row in own.values())

    def ratio(field):
        pairs = [row[field] / bases[number][field] for number, row in own.items()
                 if number in bases and bases[number][field]]
        return f"{statistics.median(pairs):.2f}" if pairs else ""

    return (f"{median('tps'):.0f} | {ratio('tps')} | {median('mean_us') / 1000:.3f} | {median('p99_us') / 1000:.3f} | "
            f"{median('cpu_us'):.1f} | {ratio('cpu_us')} | {median('peak_rss_kb') / 1024:.1f}")
