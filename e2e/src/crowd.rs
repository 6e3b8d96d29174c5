//! An API server that holds nothing but a crowd: as many generated pods as are asked for, with their namespaces, Services
//! and EndpointSlices, as large as those of real clusters, listed in pages and watched.
//!
//! In: a number of pods. Out: an address for a kubeconfig. Objects are written anew for every answer, so that the crowd
//! itself needs no memory. Whatever else is asked for is empty, and nothing can be written: a pilot that reads here has
//! its authority in a folder and elects nobody.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Pods of one Service.
const REPLICAS: usize = 20;
/// Services of one namespace.
const SERVICES: usize = 25;

/// The crowd. It is served as long as the test program lives.
pub struct Crowd {
    pub address: SocketAddr,
    inside: Arc<Inside>,
}

struct Inside {
    pods: usize,
    /// Watches of pods.
    watches: Mutex<Vec<Sender<String>>>,
}

impl Crowd {
    /// Serves this many pods.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(pods: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let inside = Arc::new(Inside { pods, watches: Mutex::default() });
        let shared = inside.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inside = shared.clone();
                // A client that goes away is no failure.
                std::thread::spawn(move || inside.connection(stream).ok());
            }
        });
        Crowd { address, inside }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: crowd\n\
             clusters: [{{name: crowd, cluster: {{server: 'http://{}'}}}}]\n\
             users: [{{name: crowd, user: {{}}}}]\n\
             contexts: [{{name: crowd, context: {{cluster: crowd, user: crowd}}}}]\n",
            self.address
        )
    }

    /// Tells the watches of pods that a pod has another address now.
    ///
    /// # Panics
    /// When no watch is there.
    pub fn moves(&self, pod: usize, version: usize) {
        let object = self::pod(pod, version);
        let mut watches = self.inside.watches.lock().expect("nothing panics with it");
        watches
            .retain(|watch| watch.send(format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n")).is_ok());
        assert!(!watches.is_empty(), "somebody watches pods");
    }
}

impl Inside {
    fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
            let mut words = first.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            if method == "GET" && query.contains("watch=true") {
                return self.watch(path, &mut writer);
            }
            let (status, body) = match method {
                "GET" => self.list(path, query),
                _ => ("405 Method Not Allowed", String::new()),
            };
            write!(
                writer,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
    }

    /// A page of a list; objects by name are not there.
    fn list(&self, path: &str, query: &str) -> (&'static str, String) {
        let value = |key: &str| query.split('&').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        let number = |key| value(key).and_then(|text| text.parse::<usize>().ok());
        let services = self.pods / REPLICAS;
        let (all, make): (usize, fn(usize) -> String) = match path {
            "/api/v1/pods" => (self.pods, |number| pod(number, 0)),
            "/api/v1/services" => (services, service),
            "/api/v1/namespaces" => (services / SERVICES, namespace),
            "/apis/discovery.k8s.io/v1/endpointslices" => (services, slice),
            _ if path.rsplit('/').next().is_some_and(|word| word.ends_with('s')) => (0, |_| String::new()),
            _ => return ("404 Not Found", String::from("404 page not found\n")),
        };
        let from = number("continue").unwrap_or(0);
        let until = number("limit").map_or(all, |limit| all.min(from + limit));
        let next = if until < all { until.to_string() } else { String::new() };
        let mut body = format!(
            "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"1\",\"continue\":\"{next}\"}},\"items\":["
        );
        for number in from..until {
            if number > from {
                body.push(',');
            }
            body += &make(number);
        }
        body += "]}";
        ("200 OK", body)
    }

    fn watch(&self, path: &str, writer: &mut TcpStream) -> std::io::Result<()> {
        let (sender, events): (_, Receiver<String>) = channel();
        let mut kept = Some(sender);
        if path == "/api/v1/pods" {
            self.watches.lock().expect("nothing panics with it").extend(kept.take());
        }
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        for event in events {
            write!(writer, "{:x}\r\n{event}\r\n", event.len())?;
        }
        Ok(())
    }
}

fn namespace(number: usize) -> String {
    format!(
        r#"{{"metadata":{{"name":"team-{number}","uid":"{}","resourceVersion":"1","labels":{{"kubernetes.io/metadata.name":"team-{number}","istio-injection":"enabled"}}}},"spec":{{"finalizers":["kubernetes"]}},"status":{{"phase":"Active"}}}}"#,
        uid(number)
    )
}

/// Name and namespace of a Service.
fn named(service: usize) -> (String, String) {
    (format!("workload-{service}"), format!("team-{}", service / SERVICES))
}

fn uid(number: usize) -> String {
    format!("6f1d7a52-8c0b-4f7e-9a41-{number:012x}")
}

fn ip(pod: usize, version: usize) -> String {
    let number = pod + 1 + version * 1_000_000;
    format!("10.{}.{}.{}", number >> 16 & 0xff, number >> 8 & 0xff, number & 0xff)
}

fn service(number: usize) -> String {
    let (name, namespace) = named(number);
    let uid = uid(number);
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{uid}","resourceVersion":"1","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app":"{name}","app.kubernetes.io/managed-by":"Helm","team":"{namespace}"}},"annotations":{{"meta.helm.sh/release-name":"{name}","meta.helm.sh/release-namespace":"{namespace}"}},"managedFields":[{{"manager":"helm","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:labels":{{".":{{}},"f:app":{{}}}}}},"f:spec":{{"f:ports":{{}},"f:selector":{{}}}}}}}}]}},"spec":{{"clusterIP":"10.{}.{}.{}","clusterIPs":["10.{}.{}.{}"],"ports":[{{"name":"http","port":80,"targetPort":"http","protocol":"TCP"}},{{"name":"grpc","port":9090,"targetPort":9090,"protocol":"TCP"}}],"selector":{{"app":"{name}"}},"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster"}},"status":{{"loadBalancer":{{}}}}}}"#,
        200 + (number >> 16),
        number >> 8 & 0xff,
        number & 0xff,
        200 + (number >> 16),
        number >> 8 & 0xff,
        number & 0xff,
    )
}

fn slice(number: usize) -> String {
    let (name, namespace) = named(number);
    let uid = uid(number);
    let mut endpoints = String::new();
    for pod in number * REPLICAS..(number + 1) * REPLICAS {
        let comma = if endpoints.is_empty() { "" } else { "," };
        write!(
            endpoints,
            r#"{comma}{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"nodeName":"node-{}","targetRef":{{"kind":"Pod","namespace":"{namespace}","name":"{}","uid":"{}"}},"zone":"zone-{}"}}"#,
            ip(pod, 0),
            pod % 1000,
            pod_name(pod),
            uid_of_pod(pod),
            pod % 3,
        )
        .expect("a String takes everything");
    }
    format!(
        r#"{{"addressType":"IPv4","endpoints":[{endpoints}],"metadata":{{"name":"{name}-x7k2p","generateName":"{name}-","namespace":"{namespace}","uid":"{uid}","resourceVersion":"1","generation":4,"creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app":"{name}","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"{name}"}},"annotations":{{"endpoints.kubernetes.io/last-change-trigger-time":"2026-01-01T00:00:00Z"}},"ownerReferences":[{{"apiVersion":"v1","kind":"Service","name":"{name}","uid":"{uid}","controller":true,"blockOwnerDeletion":true}}]}},"ports":[{{"name":"http","port":8080,"protocol":"TCP"}},{{"name":"grpc","port":9090,"protocol":"TCP"}}]}}"#
    )
}

fn pod_name(pod: usize) -> String {
    format!("workload-{}-7d9c5b8f64-{pod:05x}", pod / REPLICAS)
}

fn uid_of_pod(pod: usize) -> String {
    format!("9b6e0c1f-2d3a-4b5c-8d7e-{pod:012x}")
}

/// A pod with a proxy, as the API server lists it: about 7 KB.
fn pod(number: usize, version: usize) -> String {
    let service = number / REPLICAS;
    let (name, namespace) = named(service);
    let (own, uid, ip, node) = (pod_name(number), uid_of_pod(number), ip(number, version), number % 1000);
    let mut env = String::new();
    for index in 0..12 {
        write!(
            env,
            r#"{{"name":"SETTING_{index}","value":"a value as long as they usually are, number {index}"}},"#
        )
        .expect("a String takes everything");
    }
    let mut states = String::new();
    for (index, container) in ["main", "istio-proxy"].iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(
            states,
            r#"{comma}{{"name":"{container}","containerID":"containerd://5d41402abc4b2a76b9719d911017c592{number:032x}","image":"registry.example.com/{namespace}/{container}:1.2.3","imageID":"registry.example.com/{namespace}/{container}@sha256:{number:064x}","lastState":{{}},"ready":true,"restartCount":0,"started":true,"state":{{"running":{{"startedAt":"2026-01-01T00:00:00Z"}}}}}}"#
        )
        .expect("a String takes everything");
    }
    let mut conditions = String::new();
    for (index, condition) in
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
            .iter()
            .enumerate()
    {
        let comma = if index == 0 { "" } else { "," };
        write!(
            conditions,
            r#"{comma}{{"type":"{condition}","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-01T00:00:00Z"}}"#
        )
        .expect("a String takes everything");
    }
    let managed = r#"{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","subresource":"status","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Initialized\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:hostIPs":{},"f:initContainerStatuses":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}}"#;
    format!(
        r#"{{"metadata":{{"name":"{own}","generateName":"{name}-7d9c5b8f64-","namespace":"{namespace}","uid":"{uid}","resourceVersion":"{version}","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app":"{name}","app.kubernetes.io/name":"{name}","app.kubernetes.io/managed-by":"Helm","helm.sh/chart":"{name}-1.2.3","pod-template-hash":"7d9c5b8f64","security.istio.io/tlsMode":"istio","service.istio.io/canonical-name":"{name}","service.istio.io/canonical-revision":"v1","team":"{namespace}","version":"v1"}},"annotations":{{"checksum/config":"{number:064x}","istio.io/rev":"default","kubectl.kubernetes.io/default-container":"main","kubectl.kubernetes.io/default-logs-container":"main","prometheus.io/path":"/stats/prometheus","prometheus.io/port":"15020","prometheus.io/scrape":"true","sidecar.istio.io/status":"{{\"initContainers\":[\"istio-init\"],\"containers\":[\"istio-proxy\"],\"volumes\":[\"workload-socket\",\"credential-socket\",\"workload-certs\",\"istio-envoy\",\"istio-data\",\"istio-podinfo\",\"istio-token\",\"istiod-ca-cert\"],\"imagePullSecrets\":null,\"revision\":\"default\"}}"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{name}-7d9c5b8f64","uid":"{uid}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{managed},{managed}]}},"spec":{{"volumes":[{{"name":"workload-socket","emptyDir":{{}}}},{{"name":"istio-token","projected":{{"sources":[{{"serviceAccountToken":{{"audience":"istio-ca","expirationSeconds":43200,"path":"istio-token"}}}}],"defaultMode":420}}}},{{"name":"istiod-ca-cert","configMap":{{"name":"istio-ca-root-cert","defaultMode":420}}}}],"initContainers":[{{"name":"istio-init","image":"registry.example.com/istio/proxyv2:1.29.0","args":["istio-iptables","-p","15001","-z","15006","-u","1337","-m","REDIRECT","-i","*","-x","","-b","*","-d","15090,15021,15020"],"resources":{{"limits":{{"cpu":"2","memory":"1Gi"}},"requests":{{"cpu":"10m","memory":"40Mi"}}}}}}],"containers":[{{"name":"main","image":"registry.example.com/{namespace}/main:1.2.3","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}},{{"name":"grpc","containerPort":9090,"protocol":"TCP"}}],"env":[{env}{{"name":"LAST","value":"x"}}],"resources":{{"limits":{{"memory":"512Mi"}},"requests":{{"cpu":"100m","memory":"256Mi"}}}},"livenessProbe":{{"httpGet":{{"path":"/app-health/main/livez","port":15020,"scheme":"HTTP"}},"periodSeconds":10}},"volumeMounts":[{{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}]}},{{"name":"istio-proxy","image":"registry.example.com/istio/proxyv2:1.29.0","args":["proxy","sidecar","--domain","$(POD_NAMESPACE).svc.cluster.local"],"ports":[{{"name":"http-envoy-prom","containerPort":15090,"protocol":"TCP"}}],"env":[{env}{{"name":"PILOT_CERT_PROVIDER","value":"istiod"}}]}}],"restartPolicy":"Always","serviceAccountName":"{name}","serviceAccount":"{name}","nodeName":"node-{node}","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}]}},"status":{{"phase":"Running","conditions":[{conditions}],"hostIP":"192.168.{}.{}","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"2026-01-01T00:00:00Z","containerStatuses":[{states}],"qosClass":"Burstable"}}}}"#,
        node / 250,
        node % 250,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_as_large_as_real_ones_and_can_be_read() {
        for text in [namespace(1), service(1), slice(1)] {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        let text = pod(99_999, 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["metadata"]["labels"]["app"], "workload-4999");
        assert!((5_000..8_500).contains(&text.len()), "{}", text.len());
    }
}
