#!/usr/bin/env python3
"""perf.py RESULTS.jsonl DOCS: writes DOCS/perf.md's table and DOCS/perf.svg from the measurements of one run.

Only what stands between the two markers in perf.md is replaced; the text around it is written by people.
"""
import json
import statistics
import sys

BEGIN, END = "<!-- table: written by cargo xtask bench --write -->", "<!-- end of table -->"

# scenario, what, figure, unit, whose figure is the base (SCENARIO/PROXY, or a proxy in the same scenario), target ratio
# to it (or, as text, in the unit), and whose figure it is where that is not OURS
ROWS = [
    ("h1", "HTTP/1.1 keepalive, 1 KB", "cpu_per_1k", "CPU s/1000", "envoy", .45),
    ("h1-10k", "HTTP/1.1 keepalive, 10 KB both ways", "cpu_per_1k", "CPU s/1000", "envoy", .45),
    ("h2", "HTTP/2 in and out", "cpu_per_1k", "CPU s/1000", "envoy", .65),
    ("mtls", "mutual TLS pair, against an HTTP/1.1 hop", "cpu_per_1k", "CPU s/1000", "envoy", .35),
    ("mtls", "mutual TLS pair, against an HTTP/2 hop", "cpu_per_1k", "CPU s/1000", "envoy-h2mtls", .50),
    ("tls", "TLS edge, keepalive", "cpu_per_1k", "CPU s/1000", "envoy", .50),
    ("tls-conn", "TLS edge, full handshakes", "cpu_per_1k", "CPU s/1000", "envoy", .75),
    ("h1-conn", "new connections, 16 at a time", "cpu_per_1k", "CPU s/1000", "envoy", .60),
    ("tcp-bulk", "TCP bulk", "cpu_per_gb", "CPU s/GB", "envoy", .50),
    ("mtcp-bulk", "TCP bulk over mutual TLS", "cpu_per_gb", "CPU s/GB", "envoy", .75),
    ("lat", "p99 at a fixed rate, HTTP/1.1", "p99_ms", "ms", "envoy", .60),
    ("lat-mtls", "p99 at a fixed rate, mutual TLS pair", "p99_ms", "ms", "envoy", .45),
    ("h1-cores", "two workers, against one worker", "cpu_per_1k", "CPU s/1000", "ours-istio", 1.1, "ours-istio-2"),
    ("bigcfg", "10,000 routes, against one route", "cpu_per_1k", "CPU s/1000", "h1/ours-istio", 1.05),
    ("idle-mem", "memory per idle connection", "kb_per_conn", "KiB", "envoy", "6"),
    ("startup", "process start to first 200", "startup_ms", "ms", "envoy", "10"),
    ("startup", "RSS at start", "rss_kb", "KiB", "envoy", "15360"),
    ("bigcfg", "RSS with 10,000 routes over 1,000 clusters", "idle_rss_kb", "KiB", "envoy", "35840"),
    ("bigcfg", "CPU with 10,000 routes over 1,000 clusters", "cpu_per_1k", "CPU s/1000", "envoy", None),
]
OURS = "ours-istio"


def read(path):
    runs = {}
    with open(path) as f:
        for line in f:
            r = json.loads(line)
            runs.setdefault((r["scenario"], r["proxy"]), {})[r["round"]] = r
    return runs


def figure(runs, scenario, proxy, key):
    return {n: r[key] for n, r in runs.get((scenario, proxy), {}).items() if r.get(key) is not None}


def rows(runs):
    for scenario, what, key, unit, base, target, *who in ROWS:
        other, proxy = base.split("/") if "/" in base else (scenario, base)
        ours, theirs = figure(runs, scenario, who[0] if who else OURS, key), figure(runs, other, proxy, key)
        both = [n for n in ours if n in theirs and theirs[n]]
        if both:
            ratio = statistics.median(ours[n] / theirs[n] for n in both)
            yield what, unit, statistics.median(theirs.values()), statistics.median(ours.values()), ratio, target


def number(v):
    return "%.4f" % v if v < 1 else "%.2f" % v if v < 100 else "%.0f" % v


def missed(ours, ratio, target):
    if target is None:
        return False
    return ours > float(target) if isinstance(target, str) else ratio > target


def table(found):
    out = ["| scenario | figure | Envoy | ours | ratio | target |", "|---|---|---|---|---|---|"]
    for what, unit, theirs, ours, ratio, target in found:
        word = "" if target is None else "%s %s" % (target, unit) if isinstance(target, str) else "%.2f" % target
        mark = word + (" **missed**" if missed(ours, ratio, target) else "")
        out.append("| %s | %s | %s | %s | %.2f | %s |" % (what, unit, number(theirs), number(ours), ratio, mark))
    return "\n".join(out)


def plot(found):
    """Bars of the ratio; a line at 1, which is Envoy, and a tick at the target."""
    left, width, step = 300, 400, 26
    height = step * len(found) + 50
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">' % (
        left + width + 60, height), '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="%d" y="18" fill="#555">ratio to Envoy in the same run: shorter is better; the tick is the target</text>' % left]
    for i, (what, _, _, ours, ratio, target) in enumerate(found):
        y = 30 + i * step
        length = min(ratio, 1.15) * width / 1.15
        good = not missed(ours, ratio, target)
        svg.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (left - 8, y + 14, what))
        svg.append('<rect x="%d" y="%d" width="%.1f" height="16" fill="%s"/>' % (left, y + 2, length, "#2a7" if good else "#d83"))
        svg.append('<text x="%.1f" y="%d">%.2f</text>' % (left + length + 5, y + 14, ratio))
        if isinstance(target, float):
            x = left + target * width / 1.15
            svg.append('<path d="M%.1f %dv20" stroke="#000" stroke-width="2"/>' % (x, y))
    x = left + width / 1.15
    svg.append('<path d="M%.1f 26V%d" stroke="#c33" stroke-dasharray="4 3"/><text x="%.1f" y="%d" fill="#c33" text-anchor="middle">Envoy</text></svg>' % (
        x, height - 20, x, height - 6))
    return "\n".join(svg) + "\n"


def main():
    results, docs = sys.argv[1:3]
    found = list(rows(read(results)))
    with open(docs + "/perf.md") as f:
        text = f.read()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    with open(docs + "/perf.md", "w") as f:
        f.write(head + BEGIN + "\n" + table(found) + "\n" + END + tail)
    with open(docs + "/perf.svg", "w") as f:
        f.write(plot(found))


if __name__ == "__main__":
    main()
