"""Peers: how to start each proxy for each mode. Every config is generated here.

A mode is one proxy process in one role; a scenario (bench.py) chains modes:

  http1        plaintext HTTP/1.1 in,  plaintext HTTP/1.1 out
  http2        h2c (prior knowledge) in, h2c out
  tcp          TCP in, TCP out
  tls          TLS 1.3 server in (no client certificate), HTTP/1.1 out
  mtls-client  plaintext HTTP/1.1 in,  mutual TLS out (the client's sidecar)
  mtls-server  mutual TLS in, plaintext HTTP/1.1 out  (the server's sidecar)
  mtcp-client  TCP in, mutual TLS out    mtcp-server  mutual TLS in, TCP out
  bigcfg       http1, with many routes and clusters (ctx.big)

A peer returns a Spec (argv, env) for a mode, or None where it cannot do it.
All listeners and upstreams are on 127.0.0.1.
"""
import json
import os
import shlex
import shutil

LO = "127.0.0.1"


class Spec:
    def __init__(self, argv, env=None):
        self.argv, self.env = argv, env or {}


class Ctx:
    """What a peer is told: where to listen, where to send, what to use."""

    def __init__(self, **kw):
        self.__dict__.update(kw)  # dir listen upstream cert key ca big(None|dict)

    def write(self, name, text):
        p = os.path.join(self.dir, name)
        with open(p, "w") as f:
            f.write(text)
        return p


def find(var, *names):
    v = os.environ.get(var)
    if v:
        return v
    for n in names:
        p = shutil.which(n) or shutil.which(n, path="/usr/sbin:/sbin")
        if p:
            return p
    return None


# ---------------------------------------------------------------- envoy
def _sock(port):
    return {"socket_address": {"address": LO, "port_value": port}}


_T = "type.googleapis.com/envoy.extensions."
ISTIO_LOG_FIELDS = {
    "start_time": "%START_TIME%", "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%", "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%", "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%", "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%", "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%", "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%", "route_name": "%ROUTE_NAME%",
}


class Envoy:
    """variant 'lean': HCM + router, no request id, no access log.
    variant 'istio': request id, fault, cors, rbac, grpc_stats, stats tags, JSON access
    log (to /dev/null). 'h2': as lean, but the mutual-TLS hop is HTTP/2."""

    def __init__(self, name, variant):
        self.name, self.variant, self.bin = name, variant, find("BENCH_ENVOY", "envoy")

    def _tls(self, ctx, server, mutual):
        common = {
            "alpn_protocols": ["h2" if self.variant == "h2" else "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                           "tls_maximum_protocol_version": "TLSv1_3"}}
        if mutual or server:
            common["tls_certificates"] = [{"certificate_chain": {"filename": ctx.cert},
                                           "private_key": {"filename": ctx.key}}]
        if mutual:
            common["validation_context"] = {
                "trusted_ca": {"filename": ctx.ca},
                "match_typed_subject_alt_names": [{
                    "san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}]}
        t = "DownstreamTlsContext" if server else "UpstreamTlsContext"
        c = {"@type": _T + "transport_sockets.tls.v3." + t, "common_tls_context": common}
        if server:
            c["require_client_certificate"] = bool(mutual)
            if not mutual:  # wrk resumes sessions otherwise: tls-conn is full handshakes
                c["disable_stateless_session_resumption"] = True
                c["disable_stateful_session_resumption"] = True
        else:
            c["sni"] = "localhost"
        return {"name": "envoy.transport_sockets.tls", "typed_config": c}

    def _cluster(self, name, port, tls=None, h2=False):
        c = {"name": name, "type": "STATIC", "connect_timeout": "5s",
             "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                 {"endpoint": {"address": _sock(port)}}]}]}}
        if h2:
            c["typed_extension_protocol_options"] = {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": _T + "upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}}
        if tls:
            c["transport_socket"] = tls
        c["circuit_breakers"] = {"thresholds": [{"max_connections": 100000,
                                                 "max_pending_requests": 100000,
                                                 "max_requests": 100000}]}
        return c

    def _hcm(self, vhosts):
        h = {"@type": _T + "filters.network.http_connection_manager.v3.HttpConnectionManager",
             "stat_prefix": "in", "route_config": {"name": "r", "virtual_hosts": vhosts}}
        filters = []
        if self.variant == "istio":
            filters += [
                {"name": "envoy.filters.http.fault", "typed_config": {
                    "@type": _T + "filters.http.fault.v3.HTTPFault"}},
                {"name": "envoy.filters.http.cors", "typed_config": {
                    "@type": _T + "filters.http.cors.v3.Cors"}},
                {"name": "envoy.filters.http.rbac", "typed_config": {
                    "@type": _T + "filters.http.rbac.v3.RBAC", "rules": {
                        "action": "ALLOW", "policies": {"p": {
                            "permissions": [{"or_rules": {"rules": [
                                {"url_path": {"path": {"prefix": "/admin"}}},
                                {"url_path": {"path": {"prefix": "/"}}}]}}],
                            "principals": [{"any": True}]}}}}},
                {"name": "envoy.filters.http.grpc_stats", "typed_config": {
                    "@type": _T + "filters.http.grpc_stats.v3.FilterConfig",
                    "emit_filter_state": True, "stats_for_all_methods": False}}]
            h["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": {
                "@type": _T + "access_loggers.file.v3.FileAccessLog", "path": "/dev/null",
                "log_format": {"json_format": ISTIO_LOG_FIELDS}}}]
            h["use_remote_address"] = False
            h["normalize_path"] = True
            h["upgrade_configs"] = [{"upgrade_type": "websocket"}]
            h["server_name"] = "istio-envoy"
        else:
            h["generate_request_id"] = False
        filters.append({"name": "envoy.filters.http.router", "typed_config": {
            "@type": _T + "filters.http.router.v3.Router",
            **({} if self.variant == "istio" else {"suppress_envoy_headers": True})}})
        h["http_filters"] = filters
        return [{"name": "envoy.filters.network.http_connection_manager", "typed_config": h}]

    def spec(self, mode, ctx):
        if not self.bin:
            return None
        route = {"match": {"prefix": "/"}, "route": {"cluster": "c", "timeout": "0s"}}
        vhosts = [{"name": "v", "domains": ["*"], "routes": [route]}]
        fc = {}
        if mode in ("tcp", "mtcp-client", "mtcp-server"):
            fc["filters"] = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
                "@type": _T + "filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "t", "cluster": "c"}}]
            clusters = [self._cluster("c", ctx.upstream, self._tls(ctx, False, True)
                                      if mode == "mtcp-client" else None)]
        elif mode == "bigcfg":
            b = ctx.big
            clusters = [self._cluster(c, ctx.upstream) for c in b["clusters"]]
            vhosts = [{"name": v["host"], "domains": [v["host"]], "routes": [
                {"match": {"prefix": r["prefix"]}, "route": {"cluster": r["cluster"]}}
                for r in v["routes"]]} for v in b["vhosts"]]
            fc["filters"] = self._hcm(vhosts)
        else:
            fc["filters"] = self._hcm(vhosts)
            h2 = mode == "http2" or (mode == "mtls-client" and self.variant == "h2")
            tls = self._tls(ctx, False, True) if mode == "mtls-client" else None
            clusters = [self._cluster("c", ctx.upstream, tls, h2)]
        if mode in ("tls", "mtls-server", "mtcp-server"):
            fc["transport_socket"] = self._tls(ctx, True, mode != "tls")
        cfg = {"node": {"id": "bench", "cluster": "bench"},
               "static_resources": {"listeners": [{
                   "name": "l", "address": _sock(ctx.listen), "filter_chains": [fc]}],
                   "clusters": clusters}}
        if self.variant == "istio":
            cfg["stats_config"] = {"use_all_default_tags": False, "stats_tags": [
                {"tag_name": "cluster_name", "regex": r"^cluster\.((.+?)\.)"},
                {"tag_name": "http_conn_manager_prefix", "regex": r"^http\.((.+?)\.)"},
                {"tag_name": "response_code_class", "regex": r"_rq(_(\dxx))$"},
                {"tag_name": "response_code", "regex": r"(response_code=\.=(.+?);\.;)|_rq(_(\.d{3}))$"}]}
        p = ctx.write("envoy-%s-%s.json" % (self.name, mode), json.dumps(cfg))
        return Spec([self.bin, "-c", p, "--concurrency", "1", "--disable-hot-restart",
                     "-l", "error"])


class Twin(Envoy):
    """Our proxy, driven by the very bootstrap file that drives the Envoy of the same variant
    (BENCH_OURS, else `proxy` on PATH; flags -c FILE --concurrency N as Envoy has them)."""

    def __init__(self, name, variant, workers=1):
        super().__init__(name, variant)
        self.bin, self.workers = find("BENCH_OURS", "proxy"), workers

    def _tls(self, ctx, server, mutual):  # between our own sidecars: our own ALPN first, HTTP/2 on the hop
        t = super()._tls(ctx, server, mutual)
        if mutual:
            t["typed_config"]["common_tls_context"]["alpn_protocols"].insert(0, "mesh-h2")
        return t

    def spec(self, mode, ctx):
        s = super().spec(mode, ctx)
        return s and Spec([self.bin, "-c", s.argv[2], "--concurrency", str(self.workers)])


# ---------------------------------------------------------------- nginx
class Nginx:
    """One worker. nginx before 1.29.4 has no HTTP/2 upstream: http2 is then h2c in, HTTP/1.1
    out (bench.py gives it the HTTP/1.1 backend). BENCH_NGINX_NEW may name a newer one."""

    def __init__(self, name="nginx", var="BENCH_NGINX", h2up=False):
        self.name, self.h2up, self.h1_upstream_only = name, h2up, not h2up
        self.bin = os.environ.get(var) if h2up else find(var, "nginx")

    def spec(self, mode, ctx):
        if not self.bin:
            return None
        head = ("daemon off; worker_processes 1; worker_rlimit_nofile 19000;\n"
                "error_log stderr crit; pid %s/nginx-%s.pid;\n"
                "events { worker_connections 16000; multi_accept on; }\n" % (ctx.dir, mode))
        ssl = "ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3;\n" % (
            ctx.cert, ctx.key)
        pssl = ("proxy_ssl_certificate %s; proxy_ssl_certificate_key %s; "
                "proxy_ssl_trusted_certificate %s; proxy_ssl_verify on; "
                "proxy_ssl_name localhost; proxy_ssl_server_name on; "
                "proxy_ssl_protocols TLSv1.3;\n" % (ctx.cert, ctx.key, ctx.ca))
        if mode in ("tcp", "mtcp-client", "mtcp-server"):
            mod = os.environ.get("BENCH_NGINX_STREAM_MODULE")  # where stream is not built in
            pre = "load_module %s;\n" % mod if mod and not self.h2up else ""
            body = ("stream { server { listen %s:%d%s; proxy_pass %s:%d; proxy_buffer_size 64k; "
                    "tcp_nodelay on; %s } }" % (
                        LO, ctx.listen, " ssl" if mode == "mtcp-server" else "", LO, ctx.upstream,
                        {"tcp": "", "mtcp-client": "proxy_ssl on; " + pssl,
                         "mtcp-server": ssl + "ssl_client_certificate %s; ssl_verify_client on;"
                         % ctx.ca}[mode]))
            p = ctx.write("%s-%s.conf" % (self.name, mode), pre + head + body)
            return Spec([self.bin, "-e", "stderr", "-p", ctx.dir, "-c", p])
        srv, loc, scheme = "", "", "http"
        lst = "listen %s:%d%s backlog=8192" % (
            LO, ctx.listen, {"http2": " http2", "tls": " ssl",
                             "mtls-server": " ssl"}.get(mode, ""))
        if mode == "tls":
            srv = ssl + "ssl_session_tickets off; ssl_session_cache off;\n"
        elif mode == "mtls-server":
            srv = ssl + "ssl_client_certificate %s; ssl_verify_client on;\n" % ctx.ca
        elif mode == "mtls-client":
            scheme = "https"
            loc = pssl
        up = "upstream %s { server %s:%d; keepalive 512; keepalive_requests 1000000000; }\n"
        http = ("access_log off; tcp_nodelay on; keepalive_requests 1000000000; "
                "keepalive_timeout 300s; proxy_http_version %s; "
                "proxy_set_header Connection \"\"; client_body_buffer_size 32k; "
                "proxy_buffers 8 16k; proxy_buffer_size 16k; "
                "client_body_temp_path %s/nb; proxy_temp_path %s/np; fastcgi_temp_path %s/nf; "
                "uwsgi_temp_path %s/nu; scgi_temp_path %s/ns;\n" % (
                    ("2" if self.h2up and mode == "http2" else "1.1",) + (ctx.dir,) * 5))
        if mode == "bigcfg":
            b = ctx.big
            ups = "".join(up % (c, LO, ctx.upstream) for c in b["clusters"])
            ups = ups.replace("keepalive 512", "keepalive 4")
            srvs = "".join("server { %s; server_name %s;\n%s }\n" % (
                lst if i == 0 else lst.split(" backlog")[0], v["host"],
                "".join("location %s { proxy_pass http://%s; }\n" % (r["prefix"], r["cluster"])
                        for r in v["routes"])) for i, v in enumerate(b["vhosts"]))
            body = "http { server_names_hash_max_size 65536; %s %s %s }" % (http, ups, srvs)
        else:
            body = "http { %s %s server { %s;\n%s location / { %s proxy_pass %s://c; } } }" % (
                http, up % ("c", LO, ctx.upstream), lst, srv, loc, scheme)
        p = ctx.write("%s-%s.conf" % (self.name, mode), head + body)
        return Spec([self.bin, "-e", "stderr", "-p", ctx.dir, "-c", p])


# ---------------------------------------------------------------- haproxy
class Haproxy:
    """variant '' or 'splice' (tcp: kernel splicing) or 'h2' (mutual-TLS hop in HTTP/2)."""

    def __init__(self, name, variant="", var="BENCH_HAPROXY"):
        self.name, self.variant = name, variant
        self.bin = find(var, "haproxy") if var == "BENCH_HAPROXY" else os.environ.get(var)

    def spec(self, mode, ctx):
        if not self.bin:
            return None
        pem = ctx.write("haproxy.pem", open(ctx.cert).read() + open(ctx.key).read())
        alpn = "h2" if self.variant == "h2" else "http/1.1"
        bind = "bind %s:%d backlog 8192" % (LO, ctx.listen)
        srv = "server s %s:%d" % (LO, ctx.upstream)
        if mode == "http2":
            bind, srv = bind + " proto h2", srv + " proto h2"
        elif mode == "tls":
            bind += " ssl crt %s ssl-min-ver TLSv1.3 alpn http/1.1 no-tls-tickets" % pem
        elif mode in ("mtls-server", "mtcp-server"):
            bind += " ssl crt %s ca-file %s verify required ssl-min-ver TLSv1.3 alpn %s" % (
                pem, ctx.ca, alpn)
        elif mode in ("mtls-client", "mtcp-client"):
            srv += (" ssl crt %s ca-file %s verify required sni str(localhost) "
                    "ssl-min-ver TLSv1.3 alpn %s" % (pem, ctx.ca, alpn))
        t = "tcp" if mode in ("tcp", "mtcp-client", "mtcp-server") else "http"
        cfg = ("global\n nbthread 1\n maxconn %d\n%s"
               "defaults\n mode %s\n timeout connect 5s\n timeout client 300s\n"
               " timeout server 300s\n%s" % (
                   2000 if self.variant == "splice" else 9000,  # pipes take descriptors too
                   " tune.ssl.cachesize 0\n" if mode == "tls" else "", t,
                   " option splice-auto\n" if self.variant == "splice" else ""))
        if t == "http":
            cfg += " http-reuse always\n"
        if mode == "bigcfg":
            b = ctx.big
            m = ctx.write("haproxy.map", "".join(
                "%s%s %s\n" % (v["host"], r["prefix"], r["cluster"])
                for v in b["vhosts"] for r in v["routes"]))
            cfg += ("frontend f\n %s\n use_backend %%[base,map_beg(%s)]\n" % (bind, m))
            cfg += "".join("backend %s\n %s\n" % (c, srv) for c in b["clusters"])
        else:
            cfg += "frontend f\n %s\n default_backend b\nbackend b\n %s\n" % (bind, srv)
        p = ctx.write("haproxy-%s-%s.cfg" % (self.name, mode), cfg)
        return Spec([self.bin, "-db", "-q", "-f", p])


# ---------------------------------------------------------------- ztunnel
class Ztunnel:
    """ztunnel in its dedicated local mode, built with its 'testing' feature (fake CA). One
    process is both ends: client -> (redirect) outbound -> HBONE over mutual TLS -> inbound ->
    backend. It takes original destinations, so the client connects to 127.0.0.10 and the
    harness, in its own network namespace only, redirects that address with iptables (the
    connection tracking this brings is part of its figures). It listens on wildcard addresses
    and fixed ports: refused outside a network namespace of our own."""
    name = "ztunnel"
    pair = {"mtcp-client": "HBONE", "mtls-client": "HBONE", "tcp": "TCP"}
    host = "127.0.0.10"

    def __init__(self):
        self.bin = os.environ.get("BENCH_ZTUNNEL")

    def spec(self, mode, ctx):
        if not self.bin or mode not in self.pair:
            return None
        w = ("workloads:\n- uid: c//v1/Pod/default/local\n  name: local\n  namespace: default\n"
             "  serviceAccount: default\n  workloadIps: [\"127.0.0.1\", \"%s\"]\n  protocol: %s\n"
             "  node: local\n  network: \"\"\n  services: {}\npolicies: []\nservices: []\n" % (self.host, self.pair[mode]))
        p = ctx.write("ztunnel-%s.yaml" % mode, w)
        return Spec([self.bin, "proxy"], {
            "FAKE_CA": "true", "XDS_ADDRESS": "", "LOCAL_XDS_PATH": p, "IPV6_ENABLED": "false",
            "PROXY_MODE": "dedicated", "PROXY_WORKLOAD_INFO": "default/local/default",
            "ZTUNNEL_WORKER_THREADS": "1", "PACKET_MARK": "1337", "ENABLE_ORIG_SRC": "false",
            "RUST_LOG": "error", "ISTIO_META_DNS_CAPTURE": "false"})

    def redirect(self, port):
        """iptables arguments (for -A or -D) that send the client's connections to it."""
        return ["-t", "nat", "%s", "OUTPUT", "-p", "tcp", "-d", self.host, "--dport", str(port),
                "-m", "mark", "!", "--mark", "1337", "-j", "REDIRECT", "--to-ports", "15001"]


# ---------------------------------------------------------------- direct, plugged
class Direct:
    """No proxy: the physical limit of backend + load generator on their core."""
    name = "direct"

    def spec(self, mode, ctx):
        return "direct" if mode in ("http1", "http2", "tcp") else None


class Plug:
    """A proxy given as a command-line template, or a JSON file of {mode: template}.

    Fields: {mode} {listen} {upstream} {cert} {key} {ca} {dir} {big} (JSON file of vhosts,
    routes and clusters, mode bigcfg). A word 'VAR=value' before the command sets its
    environment. With one template for all modes, every mode is tried."""

    def __init__(self, name, template):
        self.name = name
        if template.startswith("@"):
            with open(template[1:]) as f:
                self.modes = json.load(f)
        else:
            self.modes = {"*": template}

    def spec(self, mode, ctx):
        t = self.modes.get(mode) or self.modes.get("*")
        if not t:
            return None
        big = ctx.write("big.json", json.dumps(ctx.big)) if ctx.big else ""
        words = [os.path.expandvars(w).format(
            mode=mode, listen=ctx.listen, upstream=ctx.upstream, cert=ctx.cert, key=ctx.key,
            ca=ctx.ca, dir=ctx.dir, big=big) for w in shlex.split(t)]
        env = {}
        while words and "=" in words[0] and "/" not in words[0].split("=")[0]:
            k, v = words.pop(0).split("=", 1)
            env[k] = v
        return Spec(words, env)


def builtin():
    ps = [Direct(), Envoy("envoy", "lean"), Envoy("envoy-istio", "istio"),
          Envoy("envoy-h2mtls", "h2"), Twin("ours", "lean"), Twin("ours-istio", "istio"),
          Twin("ours-istio-2", "istio", 2), Nginx(), Nginx("nginx-new", "BENCH_NGINX_NEW", True),
          Haproxy("haproxy"), Haproxy("haproxy-splice", "splice"),
          Haproxy("haproxy-h2mtls", "h2"), Haproxy("haproxy-new", "", "BENCH_HAPROXY_NEW"),
          Haproxy("haproxy-new-h2mtls", "h2", "BENCH_HAPROXY_NEW"), Ztunnel()]
    return {p.name: p for p in ps}
