#!/usr/bin/env python3
"""Side-by-side proxy benchmark on loopback: see README.md in this folder."""
import argparse
import ctypes
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import peers as P

LO = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")
NICE = []

# scenario: (what, modes chained front to back, backend kind, what a "request" is)
SCENARIOS = {
    "h1":        ("HTTP/1.1 keepalive, GET, 1 KB response", ["http1"], "h1"),
    "h1-cores":  ("as h1, proxy and load share both cores: for peers with several workers", ["http1"], "h1"),
    "h1-10k":    ("HTTP/1.1 keepalive, POST 10 KB, 10 KB response", ["http1"], "h1"),
    "h2":        ("h2c both sides, 1 KB response", ["http2"], "h2"),
    "mtls":      ("plain -> proxy -> mutual TLS -> proxy -> backend, 1 KB, keepalive",
                  ["mtls-client", "mtls-server"], "h1"),
    "mtls-10k":  ("as mtls, POST 10 KB, 10 KB response", ["mtls-client", "mtls-server"], "h1"),
    "tls":       ("TLS 1.3 at the proxy, keepalive, 1 KB", ["tls"], "h1"),
    "tls-conn":  ("TLS 1.3 handshake per request at the proxy, 1 KB", ["tls"], "h1"),
    "h1-conn":   ("new plaintext connection per request, 1 KB", ["http1"], "h1"),
    "tcp-small": ("TCP proxy, HTTP/1.1 exchanges of 1 KB through it", ["tcp"], "h1"),
    "tcp-bulk":  ("TCP proxy, bulk bytes one way", ["tcp"], "bulk"),
    "mtcp-small": ("TCP -> proxy -> mutual TLS -> proxy -> TCP, exchanges of 1 KB",
                   ["mtcp-client", "mtcp-server"], "h1"),
    "mtcp-bulk": ("as mtcp-small, bulk bytes one way", ["mtcp-client", "mtcp-server"], "bulk"),
    "lat":       ("latency at a fixed rate, HTTP/1.1, 1 KB", ["http1"], "h1"),
    "lat-mtls":  ("latency at a fixed rate, mtls pair, 1 KB", ["mtls-client", "mtls-server"], "h1"),
    "idle-mem":  ("memory per idle HTTP/1.1 connection", ["http1"], "h1"),
    "bigcfg":    ("memory, start-up and rate with many routes and clusters", ["bigcfg"], "h1"),
    "startup":   ("start of the process to first 200", ["http1"], "h1"),
}


# ------------------------------------------------------------------ measuring
def stat_fields(path):
    with open(path) as f:
        s = f.read()
    return s[s.rindex(")") + 2:].split()


def session_pids(sids):
    out = []
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                if int(stat_fields("/proc/%s/stat" % d)[3]) in sids:
                    out.append(int(d))
            except (OSError, ValueError):
                pass
    return out


def cpu_of(pids):
    """user+sys seconds of these processes and of their reaped children."""
    t = 0
    for p in pids:
        try:
            f = stat_fields("/proc/%d/stat" % p)
            t += sum(int(x) for x in f[11:15])
        except OSError:
            pass
    return t / TICK


def mem_of(pids):
    """(peak RSS, RSS, anonymous RSS, PSS) in KiB, summed."""
    tot = [0, 0, 0, 0]
    for p in pids:
        try:
            with open("/proc/%d/status" % p) as f:
                s = f.read()
            for i, k in enumerate(("VmHWM", "VmRSS", "RssAnon")):
                m = re.search(k + r":\s+(\d+)", s)
                tot[i] += int(m.group(1)) if m else 0
            with open("/proc/%d/smaps_rollup" % p) as f:
                m = re.search(r"^Pss:\s+(\d+)", f.read(), re.M)
            tot[3] += int(m.group(1)) if m else 0
        except OSError:
            pass
    return tot


def core_times(core):
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith("cpu%d " % core):
                v = [int(x) / TICK for x in line.split()[1:9]]
                idle, steal = v[3] + v[4], v[7]
                return {"busy": sum(v) - idle - steal, "idle": idle, "steal": steal}


# ------------------------------------------------------------------ processes
def favour(pid):
    """--nice for a session of its own: Linux schedules sessions as groups (autogroup), so
    the niceness of a process does not count against other sessions'; the group's does."""
    if NICE:
        try:
            with open("/proc/%d/autogroup" % pid, "w") as f:
                f.write(NICE[2])
        except OSError:
            pass


class Running:
    def __init__(self):
        self.procs, self.undo = [], []

    def start(self, spec, core, log):
        env = dict(os.environ, **spec.env)
        argv = NICE + ["taskset", "-c", str(core)] + spec.argv
        with open(log, "ab") as f:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                 env=env, start_new_session=True)
        self.procs.append(p)
        favour(p.pid)
        return p

    def stop(self):
        for p in self.procs:
            for sig, wait in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 5)):
                try:
                    os.killpg(p.pid, sig)
                except ProcessLookupError:
                    break
                try:
                    p.wait(wait)
                    break
                except subprocess.TimeoutExpired:
                    pass
        for argv in self.undo:
            subprocess.run(argv)
        self.procs, self.undo = [], []


def wait_port(port, limit=20, addr=LO):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            socket.create_connection((addr, port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("nothing listens on port %d" % port)


def get(port, path="/1k", host="svc", timeout=2, addr=LO):
    with socket.create_connection((addr, port), timeout) as s:
        s.settimeout(timeout)
        s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host)).encode())
        return s.recv(4096).startswith(b"HTTP/1.1 200")


def wait_get(port, limit=20, **kw):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if get(port, **kw):
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError("no 200 through port %d" % port)


BACKEND = """daemon off; worker_processes 1; worker_rlimit_nofile 19000;
error_log stderr crit; pid %(dir)s/backend.pid;
events { worker_connections 16000; multi_accept on; }
http { access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
 client_body_buffer_size 32k; server_tokens off; default_type text/plain;
 client_body_temp_path %(dir)s/bb; proxy_temp_path %(dir)s/bp; fastcgi_temp_path %(dir)s/bf;
 uwsgi_temp_path %(dir)s/bu; scgi_temp_path %(dir)s/bs;
 server { listen 127.0.0.1:%(h1)d backlog=8192; %(more)s %(locs)s }
 %(h2srv)s }
"""
H2_NGINX = "server { listen 127.0.0.1:%d http2 backlog=8192; http2_recv_timeout 600s; %s }"
H2_HAPROXY = """global
 nbthread 1
 maxconn 9000
defaults
 mode http
 timeout client 600s
frontend f
 bind 127.0.0.1:%d proto h2 backlog 8192
 http-request return status 200 content-type text/plain string %s
"""


def start_backend(run, a, d, ports):
    k = "x" * 1024
    locs = ('set $k "%s"; location / { return 200 "%s"; } location /10k { return 200 "%s"; } '
            'location /64 { return 200 "%s"; }' % (k, k, "$k" * 10, "x" * 64))
    conf = os.path.join(d, "backend.conf")
    h2srv = H2_NGINX % (ports["h2"], locs)
    if a.h2_backend:  # cheaper per request than nginx in HTTP/2: leaves the proxy the limit
        c = os.path.join(d, "backend-h2.cfg")
        with open(c, "w") as f:
            f.write(H2_HAPROXY % (ports["h2"], k))
        run.start(P.Spec([a.h2_backend, "-db", "-q", "-f", c]), a.cores[1],
                  os.path.join(d, "backend.log"))
        h2srv = ""
    with open(conf, "w") as f:
        f.write(BACKEND % {"dir": d, "h1": ports["h1"], "h2srv": h2srv, "locs": locs,
                           "more": "listen 127.0.0.10:%d backlog=8192;" % ports["h1"]})
    run.start(P.Spec([a.backend, "-e", "stderr", "-p", d, "-c", conf]), a.cores[1], os.path.join(d, "backend.log"))
    wait_port(ports["h1"])
    wait_port(ports["h2"])


def make_certs(d):
    def o(*args):
        subprocess.run(["openssl"] + list(args), cwd=d, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    with open(os.path.join(d, "leaf.ext"), "w") as f:
        f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName="
                "URI:spiffe://cluster.local/ns/default/sa/a,DNS:localhost,IP:127.0.0.1\n")
    o("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
      "-subj", "/O=bench", "-addext", "keyUsage=critical,keyCertSign")
    o("req", *ec, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/O=bench")
    o("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
      "-CAcreateserial", "-out", "leaf.pem", "-days", "30", "-extfile", "leaf.ext")
    return [os.path.join(d, n) for n in ("leaf.pem", "leaf.key", "ca.pem")]


def big_config(routes, clusters):
    """Neutral description: `clusters` hosts of routes/clusters prefixes each."""
    per = max(1, routes // clusters)
    return {"clusters": ["c%d" % i for i in range(clusters)],
            "vhosts": [{"host": "svc%d.ns.svc.cluster.local" % i,
                        "routes": [{"prefix": "/api/v%d/" % j, "cluster": "c%d" % i}
                                   for j in range(per)]} for i in range(clusters)]}


# ------------------------------------------------------------------ load generators
def loadgen(a, argv, seconds):
    argv = NICE + ["taskset", "-c", str(a.cores[1])] + argv
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         start_new_session=True)
    favour(p.pid)
    try:
        return p.communicate(timeout=seconds + 30)[0]
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()


def ms(s):
    m = re.match(r"([\d.]+)(us|ms|s|m)$", s)
    return float(m.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[m.group(2)]


def run_wrk(a, url, secs, conns, lua=None, headers=()):
    argv = [a.wrk, "-t1", "-c%d" % conns, "-d%ds" % secs, "--latency", "--timeout", "5s"]
    for h in headers:
        argv += ["-H", h]
    if lua:
        argv += ["-s", lua]
    out = loadgen(a, argv + [url], secs)
    m = re.search(r"(\d+) requests in ([\d.]+)(m?s|m),", out)
    if not m:
        raise RuntimeError("wrk: " + out[-300:])
    n = int(m.group(1))
    errs = sum(int(x) for g in re.findall(
        r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", out) for x in g)
    m = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errs += int(m.group(1)) if m else 0
    r = {"requests": n, "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
         "errors": errs}
    for q, k in (("50", "p50_ms"), ("99", "p99_ms")):
        m = re.search(r"^\s+%s%%\s+(\S+)" % q, out, re.M)
        r[k] = ms(m.group(1)) if m else None
    return r


def run_h2load(a, url, secs, conns, streams):
    out = loadgen(a, [a.h2load, "-t1", "-c%d" % conns, "-m%d" % streams, "-D", str(secs), url],
                  secs)
    m = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed",
                  out)
    f = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out)
    if not m or not f:
        raise RuntimeError("h2load: " + out[-300:])
    done = int(m.group(2))
    bad = re.search(r"(\d+) 2xx", out)
    return {"requests": done, "rps": done / secs,
            "errors": int(m.group(4)) + (max(0, done - int(bad.group(1))) if bad else 0)}


def run_paced(a, url, secs, conns, rate):
    """Requests at a fixed rate; a latency counts from when the request was due."""
    out = loadgen(a, [a.samples, "load", "-c", str(conns), "--qps", str(rate), "-t", "%ds" % secs,
                      "--progress", "0", "--json", url], secs)
    j = json.loads(out[out.index("{"):])
    q = j["latency_ms"]
    bad = j["answers"] - j["statuses"].get("200", 0)
    return {"requests": j["answers"], "rps": j["rate"], "errors": j["errors"] + bad,
            "p50_ms": q["p50"], "p99_ms": q["p99"], "p99.9_ms": q["p999"]}


def run_bulk(addr, front, back, secs, conns, core):
    """Bytes one way through a TCP proxy. The sender sends pages of a memfd (no copy), the
    sink discards in the kernel (MSG_TRUNC): what is left is mostly the proxy."""
    pid_r, pid_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setaffinity(0, {core})
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            favour(os.getpid())
            ls = socket.socket()
            ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ls.bind((addr, back))
            ls.listen(256)
            fd = os.memfd_create("bulk")
            os.write(fd, os.urandom(1 << 20))
            stop = time.monotonic() + secs + 0.5
            counts = [0] * conns
            # the first connections may be the readiness probe's: sinks are made as they come
            sinks = []

            def sink(s, i):
                buf = memoryview(bytearray(1 << 20))
                while True:
                    try:
                        n = s.recv_into(buf, 1 << 20, socket.MSG_TRUNC)
                    except OSError:
                        return
                    if n == 0:
                        return
                    counts[i % conns] += n

            def acceptor():
                i = 0
                while True:
                    s, _ = ls.accept()
                    sinks.append(s)
                    threading.Thread(target=sink, args=(s, i), daemon=True).start()
                    i += 1

            def source():
                for _ in range(200):
                    try:
                        s = socket.create_connection((addr, front), 2)
                        break
                    except OSError:
                        time.sleep(0.02)
                s.settimeout(None)
                while time.monotonic() < stop:
                    try:
                        os.sendfile(s.fileno(), fd, 0, 1 << 20)
                    except OSError:
                        return

            threading.Thread(target=acceptor, daemon=True).start()
            for _ in range(conns):
                threading.Thread(target=source, daemon=True).start()
            time.sleep(0.5)
            os.write(pid_w, b"go\n")
            b0, t0 = sum(counts), time.monotonic()
            time.sleep(secs - (time.monotonic() - t0))
            b1, t1 = sum(counts), time.monotonic()
            os.write(pid_w, ("%d %f\n" % (b1 - b0, t1 - t0)).encode())
            time.sleep(0.2)
        finally:
            os._exit(0)
    os.close(pid_w)
    return pid, os.fdopen(pid_r)


# ------------------------------------------------------------------ one measurement
def start_chain(a, run, peer, modes, back_kind, ports, d, certs, big=None, core=None):
    """Start the peer's processes for these modes, back to front. Returns (front address,
    port, sids) or None where the peer cannot."""
    up = ports[back_kind]
    if hasattr(peer, "pair"):  # one process is both ends, found by redirection
        ctx = P.Ctx(dir=d, listen=None, upstream=up, cert=certs[0], key=certs[1], ca=certs[2])
        s = peer.spec(modes[0], ctx)
        if s is None or not a.in_ns:
            return None
        rule = ["iptables"] + peer.redirect(up)
        subprocess.run([x if x != "%s" else "-A" for x in rule], check=True)
        run.undo.append([x if x != "%s" else "-D" for x in rule])
        return peer.host, up, {run.start(s, a.cores[0], os.path.join(d, peer.name + ".log")).pid}
    if back_kind == "h2" and getattr(peer, "h1_upstream_only", False):
        up = ports["h1"]
    pair = modes[0].replace("-client", "-pair")
    if len(modes) == 2 and pair in getattr(peer, "modes", ()):
        modes = [pair]  # one process of this peer is both ends
    specs, listen = [], ports["proxy"]
    for mode in reversed(modes):
        ctx = P.Ctx(dir=d, listen=listen, upstream=up, cert=certs[0], key=certs[1], ca=certs[2],
                    big=big)
        s = peer.spec(mode, ctx)
        if s is None:
            return None
        if s == "direct":
            return LO, up, set()
        specs.append(s)
        up, listen = listen, listen + 1
    sids = set()
    for s in specs:
        sids.add(run.start(s, core or a.cores[0], os.path.join(d, peer.name + ".log")).pid)
    return LO, up, sids


def measured(a, sids, fn):
    """Run fn between two readings of the proxy's CPU time and of both cores."""
    pids = session_pids(sids)
    c0, k0 = cpu_of(pids), [core_times(c) for c in a.cores]
    t0 = time.monotonic()
    r = fn()
    dt = time.monotonic() - t0
    k1 = [core_times(c) for c in a.cores]
    r["cpu_s"] = cpu_of(session_pids(sids)) - c0
    d = [{k: k1[i][k] - k0[i][k] for k in k1[i]} for i in (0, 1)]
    r["wall_s"] = dt
    r["proxy_core_idle"] = d[0]["idle"] / dt
    r["proxy_core_foreign"] = max(0.0, d[0]["busy"] - r["cpu_s"]) / dt
    r["load_core_idle"] = d[1]["idle"] / dt
    r["steal"] = (d[0]["steal"] + d[1]["steal"]) / dt
    if r.get("requests"):
        r["cpu_per_1k"] = r["cpu_s"] / r["requests"] * 1000
    m = mem_of(session_pids(sids))
    r["peak_rss_kb"], r["rss_kb"], r["anon_kb"], r["pss_kb"] = m
    return r


def idle_mem(a, addr, port, sids, n):
    base = mem_of(session_pids(sids))
    socks, req = [], b"GET /1k HTTP/1.1\r\nHost: svc\r\n\r\n"
    try:
        for i in range(n):
            s = socket.create_connection((addr, port), 5)
            s.sendall(req)
            got = b""
            while b"x" * 1000 not in got:
                b = s.recv(8192)
                if not b:
                    raise RuntimeError("closed after %d connections" % i)
                got += b
            socks.append(s)
        time.sleep(1)
        m = mem_of(session_pids(sids))
    finally:
        for s in socks:
            s.close()
    return {"requests": n, "base_rss_kb": base[1], "base_anon_kb": base[2], "rss_kb": m[1],
            "peak_rss_kb": m[0], "kb_per_conn": (m[1] - base[1]) / n}


def one(a, peer, scn, ports, d, certs):
    """One measurement of one peer; None where it does not apply."""
    what, modes, kind = SCENARIOS[scn]
    big = big_config(a.routes, a.clusters) if scn == "bigcfg" else None
    run = Running()
    try:
        t0 = time.monotonic()
        st = start_chain(a, run, peer, modes, kind, ports, d, certs, big,
                         "%d,%d" % tuple(a.cores) if scn == "h1-cores" else None)
        if st is None:
            return None
        addr, port, sids = st
        if peer.name == "direct" and scn in ("startup", "idle-mem", "bigcfg"):
            return None
        host = big["vhosts"][-1]["host"] if big else "svc"
        path = big["vhosts"][-1]["routes"][-1]["prefix"] if big else "/1k"
        if scn in ("startup", "bigcfg"):
            end = t0 + 60
            while True:
                try:
                    if get(port, host=host, path=path, addr=addr):
                        break
                except OSError:
                    pass
                if time.monotonic() > end:
                    raise RuntimeError("not served within 60 s")
                time.sleep(0.0005)
            up_ms = (time.monotonic() - t0) * 1e3
        if scn == "startup":
            time.sleep(0.3)
            m = mem_of(session_pids(sids))
            return {"startup_ms": up_ms, "rss_kb": m[1], "peak_rss_kb": m[0], "anon_kb": m[2],
                    "pss_kb": m[3], "cpu_s": cpu_of(session_pids(sids))}
        if scn == "bigcfg":
            time.sleep(0.5)
            m = mem_of(session_pids(sids))
            lua = os.path.join(d, "big.lua")
            with open(lua, "w") as f:
                f.write('wrk.headers["Host"] = "%s"\n' % host)
            secs = min(a.duration, 4)
            r = measured(a, sids, lambda: run_wrk(a, "http://%s:%d%s" % (addr, port, path), secs,
                                                  a.conns, lua))
            r.update(startup_ms=up_ms, idle_rss_kb=m[1], idle_peak_kb=m[0])
            return r
        if scn.endswith("-bulk"):
            if peer.name != "direct" and addr == LO:
                wait_port(port)
            time.sleep(0.5)
            pid, pipe = run_bulk(addr, port, ports["bulk"], a.duration, 4, a.cores[1])
            try:
                if pipe.readline().strip() != "go":
                    raise RuntimeError("bulk did not start")

                def wait_bulk():
                    n, dt = pipe.readline().split()
                    return {"bytes": int(n), "gbs": int(n) / float(dt) / 1e9}
                r = measured(a, sids, wait_bulk)
            finally:
                pipe.close()
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                os.waitpid(pid, 0)
            if not r["bytes"]:
                raise RuntimeError("no bytes came through")
            r["cpu_per_gb"] = r["cpu_s"] / (r["bytes"] / 1e9)
            return r
        if scn == "h2":
            wait_port(port)
            time.sleep(0.2)
        elif scn in ("tls", "tls-conn"):
            wait_port(port)
            time.sleep(0.2)
        else:
            wait_get(port, addr=addr)
        if scn == "idle-mem":
            return idle_mem(a, addr, port, sids, a.idle_conns)
        base = "http://%s:%d" % (addr, port)
        lua = None
        if scn in ("h1", "h1-cores", "mtls", "tcp-small", "mtcp-small"):
            go = lambda s: run_wrk(a, base + "/1k", s, a.conns)
        elif scn in ("h1-10k", "mtls-10k"):
            lua = os.path.join(d, "post.lua")
            with open(lua, "w") as f:
                f.write('wrk.method = "POST"\nwrk.body = string.rep("y", 10240)\n')
            go = lambda s: run_wrk(a, base + "/10k", s, a.conns, lua)
        elif scn == "h1-conn":
            go = lambda s: run_wrk(a, base + "/1k", s, 16, headers=["Connection: close"])
        elif scn == "tls":
            go = lambda s: run_wrk(a, "https://%s:%d/1k" % (LO, port), s, a.conns)
        elif scn == "tls-conn":
            go = lambda s: run_wrk(a, "https://%s:%d/1k" % (LO, port), s, 16,
                                   headers=["Connection: close"])
        elif scn == "h2":
            go = lambda s: run_h2load(a, base + "/1k", s, a.h2_conns, a.h2_streams)
        else:
            go = lambda s: run_paced(a, base + "/1k", s, 16, a.rate)
        go(1)  # warm-up: connections, caches, allocator
        return measured(a, sids, lambda: go(a.duration))
    finally:
        run.stop()


# ------------------------------------------------------------------ report
COLS = {
    "default": [("rps", "rps", "%.0f", True), ("cpu_per_1k", "CPU s/1k req", "%.4f", False)],
    "tcp-bulk": [("gbs", "GB/s", "%.2f", True), ("cpu_per_gb", "CPU s/GB", "%.4f", False)],
    "lat": [("p50_ms", "p50 ms", "%.3f", False), ("p99_ms", "p99 ms", "%.3f", False),
            ("p99.9_ms", "p99.9 ms", "%.3f", False),
            ("cpu_per_1k", "CPU s/1k req", "%.4f", False)],
    "idle-mem": [("kb_per_conn", "KiB/conn", "%.1f", False),
                 ("base_rss_kb", "RSS before KiB", "%.0f", False)],
    "bigcfg": [("idle_rss_kb", "RSS idle KiB", "%.0f", False), ("startup_ms", "start ms", "%.0f", False),
               ("rps", "rps", "%.0f", True), ("cpu_per_1k", "CPU s/1k req", "%.4f", False)],
    "startup": [("startup_ms", "start ms", "%.1f", False), ("rss_kb", "RSS KiB", "%.0f", False),
                ("anon_kb", "anon KiB", "%.0f", False), ("cpu_s", "CPU s", "%.2f", False)],
}


def med(rs, k):
    v = [r[k] for r in rs if r and r.get(k) is not None]
    return (statistics.median(v), min(v), max(v)) if v else None


def ratio(rs, base, k):
    """Median over rounds of value / base's value in the same round."""
    v = [r[k] / b[k] for r, b in zip(rs, base) if r and b and r.get(k) and b.get(k)]
    return "%.2f" % statistics.median(v) if v else "-"


def report(scn, results, base):
    cols = COLS.get(scn) or COLS["lat" if scn.startswith("lat") else
                                 "tcp-bulk" if scn.endswith("-bulk") else "default"]
    head = ["proxy"]
    for _, n, _, _ in cols:
        head += [n, "min-max", "x " + base]
    head += ["peak RSS MiB", "p50/p99 ms", "proxy core idle", "foreign", "load core idle",
             "steal", "errors"]
    out = ["\n### %s: %s\n" % (scn, SCENARIOS[scn][0]), "| " + " | ".join(head) + " |",
           "|" + "---|" * len(head)]
    for name, rs in results.items():
        ok = [r for r in rs if r and "error" not in r]
        if not ok:
            e = [r["error"] for r in rs if r and "error" in r]
            out.append("| %s | %s |" % (name, e[0][:100].replace("\n", " ") if e else "n/a"))
            continue
        row = [name]
        for k, _, f, _ in cols:
            m = med(ok, k)
            if not m or (k.startswith("cpu") and m[0] == 0):
                row += ["-", "-", "-"]
                continue
            row += [f % m[0], (f + "-" + f) % m[1:], ratio(rs, results.get(base, []), k)]
        g = lambda k: (med(ok, k) or (None,))[0]
        pct = lambda k: "-" if g(k) is None else "%.0f%%" % (100 * g(k))
        row += ["%.1f" % (g("peak_rss_kb") / 1024) if g("peak_rss_kb") else "-",
                "%.2f/%.2f" % (g("p50_ms"), g("p99_ms")) if g("p50_ms") else "-",
                pct("proxy_core_idle"), pct("proxy_core_foreign"), pct("load_core_idle"),
                pct("steal"), str(sum(r.get("errors", 0) for r in ok))]
        out.append("| " + " | ".join(row) + " |")
    return "\n".join(out)


def enter_netns(cc):
    """A network namespace of our own: no interface but loopback, no NAT or conntrack."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) != 0:
        return False
    import fcntl
    import struct
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ifr = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
    fcntl.ioctl(s, 0x8914, ifr)  # SIOCSIFFLAGS: up
    s.close()
    for k, v in (("ipv4/tcp_congestion_control", cc), ("ipv4/ip_local_port_range", "20000 65000"), ("ipv4/tcp_tw_reuse", "1"),
                 ("core/somaxconn", "16384"), ("ipv4/tcp_max_syn_backlog", "16384")):
        try:
            if v:
                with open("/proc/sys/net/" + k, "w") as f:
                    f.write(v)
        except OSError:
            pass
    return True


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--proxies", default="direct,envoy,envoy-istio,nginx,haproxy",
                    help="comma list; built in: " + ",".join(P.builtin()))
    ap.add_argument("--plug", action="append", default=[], metavar="NAME=TEMPLATE",
                    help="a further proxy: command template, or @file.json of {mode: template}")
    ap.add_argument("--scenario", default="h1", help="comma list of: " + ",".join(SCENARIOS))
    ap.add_argument("--duration", type=int, default=8)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--base", default="envoy", help="the peer ratios are taken to")
    ap.add_argument("--cores", default="0,1", help="proxy core, load and backend core")
    ap.add_argument("--conns", type=int, default=64)
    ap.add_argument("--h2-conns", type=int, default=10)
    ap.add_argument("--h2-streams", type=int, default=10)
    ap.add_argument("--rate", type=int, default=2000)
    ap.add_argument("--idle-conns", type=int, default=5000)
    ap.add_argument("--routes", type=int, default=10000)
    ap.add_argument("--clusters", type=int, default=1000)
    ap.add_argument("--port-base", type=int, default=18080)
    ap.add_argument("--no-netns", action="store_true", help="stay in the current network namespace")
    ap.add_argument("--out", help="JSON lines of every single measurement are appended here")
    ap.add_argument("--congestion", default="", help="TCP congestion control in the namespace")
    ap.add_argument("--nice", type=int, default=0, help="niceness of proxies, backend and load")
    ap.add_argument("--keep", action="store_true", help="keep the run folder (configs, logs)")
    a = ap.parse_args()
    if a.nice:  # also where autogroup is off
        NICE.extend(["nice", "-n", str(a.nice)])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" stops the peers
    a.cores = [int(c) for c in a.cores.split(",")]
    a.wrk, a.h2load = P.find("BENCH_WRK", "wrk"), P.find("BENCH_H2LOAD", "h2load")
    a.samples, a.backend = P.find("BENCH_SAMPLES", "mesh-samples"), P.find("BENCH_BACKEND_NGINX", "nginx")
    a.h2_backend = os.environ.get("BENCH_BACKEND_H2_HAPROXY")
    all_peers = P.builtin()
    names = [n for n in a.proxies.split(",") if n]
    for p in a.plug:
        n, t = p.split("=", 1)
        all_peers[n] = P.Plug(n, t)
        if n not in names:
            names.append(n)
    for n in names:
        if n not in all_peers:
            ap.error("unknown proxy " + n)
    ns = a.in_ns = not a.no_netns and enter_netns(a.congestion)
    pb = a.port_base
    ports = {"h1": pb + 1, "h2": pb + 2, "bulk": pb + 3, "proxy": pb + 10}
    d = tempfile.mkdtemp(prefix="bench-")
    print("# load %s, network namespace of its own: %s, folder %s" % (
        os.getloadavg(), ns, d), flush=True)
    back = Running()
    try:
        certs = make_certs(d)
        start_backend(back, a, d, ports)
        os.sched_setaffinity(0, {a.cores[1]})
        for scn in a.scenario.split(","):
            res = {n: [] for n in names}
            for rnd in range(a.rounds):
                for n in names:
                    try:
                        r = one(a, all_peers[n], scn, ports, d, certs)
                    except Exception as e:  # one peer's failure must not end the run
                        r = {"error": "%s: %s" % (type(e).__name__, e)}
                    res[n].append(r)
                    if r:
                        r.update(proxy=n, scenario=scn, round=rnd, time=time.time())
                        if a.out:
                            with open(a.out, "a") as f:
                                f.write(json.dumps(r) + "\n")
                        print("  %s %s %d: %s" % (scn, n, rnd, " ".join(
                            "%s=%s" % (k, ("%.4g" % v) if isinstance(v, float) else v)
                            for k, v in r.items() if k in (
                                "rps", "cpu_per_1k", "gbs", "cpu_per_gb", "p50_ms", "p99_ms",
                                "kb_per_conn", "startup_ms", "rss_kb", "errors", "error",
                                "proxy_core_idle", "load_core_idle", "steal"))), file=sys.stderr, flush=True)
            print(report(scn, res, a.base), flush=True)
    finally:
        back.stop()
        if not a.keep:
            import shutil
            shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()
