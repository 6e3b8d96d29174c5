//! The addons of `samples/addons`: the manifest of Grafana with its dashboards, and images of a real Prometheus and a real
//! Zipkin for the tests that run them beside the mesh.
//!
//! In: `dashboards/*.json`; Go's module proxy, Debian's archive and Maven Central. Out: `grafana.yaml`; image archives in the
//! test equipment, or why there can be none. Prometheus takes minutes to build, once. Called by `test` and `main`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cluster, sh};

/// The last line of `grafana.yaml` that somebody wrote.
const GENERATED: &str = "# From here on written by `cargo xtask bless` from the files of dashboards/.\n";

/// ConfigMaps of Grafana's dashboards, by the names that Istio's addons have.
const MAPS: [(&str, &[&str]); 2] = [
    ("istio-grafana-dashboards", &["istio-performance-dashboard.json", "pilot-dashboard.json"]),
    (
        "istio-services-grafana-dashboards",
        &["istio-mesh-dashboard.json", "istio-service-dashboard.json", "istio-workload-dashboard.json"],
    ),
];

/// The program that `prometheus.yaml` names, by its Go module's version: v0.310.0 is Prometheus 3.10.0.
const PROMETHEUS: &str = "docker.io/prom/prometheus:v3.10.0";
/// Of all ways to find targets only that of the manifest; debugging symbols are nobody's here.
const GO_FLAGS: [&str; 5] = [
    "-trimpath",
    "-mod=readonly",
    "-tags=remove_all_sd,enable_kubernetes_sd,grpcnotrace",
    "-gcflags=all=-dwarf=false",
    "-ldflags=-s -w",
];

const ZIPKIN: &str = "localhost/zipkin:3.5.1";
const ZIPKIN_JAR: &str = "io.zipkin:zipkin-server:3.5.1:jar:exec";
/// Debian's packages that run it.
const JAVA: [&str; 2] = ["openjdk-17-jre-headless", "zlib1g"];
/// Where the first of them has its programs, on Debian for amd64 and arm64 alike.
const JAVA_HOME: &str = "usr/lib/jvm";

/// Tests that need these images.
pub(crate) const TESTS: usize = 2;

fn samples() -> PathBuf {
    sh::root().join("samples/addons")
}

/// `grafana.yaml` as it should be: what somebody wrote, and the dashboards.
fn grafana() -> Result<String> {
    let path = samples().join("grafana.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let end = text.find(GENERATED).with_context(|| format!("no line {GENERATED:?}in {}", path.display()))?;
    let (written, _) = text.split_at(end + GENERATED.len());
    let mut out = written.to_owned();
    for (name, files) in MAPS {
        out.push_str(&format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: istio-system\n  labels:\n    \
             app: grafana\n    app.kubernetes.io/name: grafana\ndata:\n"
        ));
        for file in files {
            let path = samples().join("dashboards").join(file);
            let board = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let board: serde_json::Value =
                serde_json::from_str(&board).with_context(|| path.display().to_string())?;
            // One line: `kubectl apply` keeps a copy in an annotation, which has its limit.
            out.push_str(&format!("  {file}: |\n    {board}\n"));
        }
    }
    Ok(out)
}

/// Writes the dashboards into the manifest.
pub(crate) fn bless() -> Result<()> {
    let path = samples().join("grafana.yaml");
    std::fs::write(&path, grafana()?).with_context(|| path.display().to_string())
}

/// `cargo xtask equip addons`: the images, so that the stage finds them.
pub(crate) fn equip() -> Result<()> {
    match images()? {
        Ok(files) => files.iter().for_each(|file| println!("{}", file.display())),
        Err(reason) => bail!(reason),
    }
    Ok(())
}

/// Image archives of Prometheus and Zipkin, made if need be, or why there can be none.
pub(crate) fn images() -> Result<Result<Vec<PathBuf>, String>> {
    let dir = sh::target_dir().join("equipment/addons");
    std::fs::create_dir_all(&dir)?;
    let needed = ["go", "mvn", "apt-get", "dpkg-deb", "python3"];
    let files = [dir.join("prometheus.tar"), dir.join("zipkin.tar")];
    let stamp = dir.join("stamp");
    let pinned = std::fs::read_to_string(module().join("go.sum")).context("go.sum of Prometheus")?;
    let wanted = format!("{PROMETHEUS} {ZIPKIN} {}", pinned.len());
    if std::fs::read_to_string(&stamp).ok().as_deref() == Some(wanted.as_str()) {
        return Ok(Ok(files.to_vec()));
    }
    if let Some(program) = needed.into_iter().find(|program| !cluster::in_path(program)) {
        return Ok(Err(format!("no {program} in PATH, which gets or makes Prometheus and Zipkin")));
    }
    eprintln!("making images of Prometheus and Zipkin: about 10 minutes, once");
    if let Err(error) = prometheus(&dir).and_then(|()| zipkin(&dir)) {
        return Ok(Err(format!("{error:#}")));
    }
    std::fs::write(&stamp, wanted)?;
    Ok(Ok(files.to_vec()))
}

/// Where the versions of Prometheus and of all it needs are pinned.
fn module() -> PathBuf {
    sh::root().join("e2e/addons/prometheus")
}

fn prometheus(dir: &Path) -> Result<()> {
    let program = dir.join("prometheus");
    let cache = dir.join("go");
    let mut go = Command::new("go");
    go.arg("build").args(GO_FLAGS).arg("-o").arg(&program);
    go.arg("github.com/prometheus/prometheus/cmd/prometheus").current_dir(module());
    go.env("GOCACHE", cache.join("build")).env("GOMODCACHE", cache.join("mod"));
    go.env("GOFLAGS", "-modcacherw").env("CGO_ENABLED", "0");
    let built = sh::run(&mut go).context("build Prometheus");
    if cache.exists() {
        std::fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
    }
    built?;
    let source = format!("{}:/bin/prometheus", program.display());
    archive(&dir.join("prometheus.tar"), PROMETHEUS, r#"["/bin/prometheus"]"#, &[source])
}

fn zipkin(dir: &Path) -> Result<()> {
    let maven = dir.join("maven");
    let mut mvn = Command::new("mvn");
    mvn.args(["-q", "-B", "dependency:get", "-Dtransitive=false"]).arg(format!("-Dartifact={ZIPKIN_JAR}"));
    sh::run(mvn.arg(format!("-Dmaven.repo.local={}", maven.display())))?;
    let jar = maven.join("io/zipkin/zipkin-server/3.5.1/zipkin-server-3.5.1-exec.jar");
    let root = dir.join("java");
    for package in JAVA {
        unpack(package, dir, &root)?;
    }
    let homes = std::fs::read_dir(root.join(JAVA_HOME)).context("Java's folder")?;
    let home = homes.flatten().map(|entry| entry.path()).find(|home| home.join("bin/java").exists());
    let home = home.context("the package holds no program named java")?;
    let inside = |path: &Path| Ok::<_, anyhow::Error>(format!("/{}", path.strip_prefix(&root)?.display()));
    // Named one by one, so that the libraries they need come with them.
    let (java, machine) = (home.join("bin/java"), home.join("lib/server/libjvm.so"));
    let sources = [
        format!("{}:{}", java.display(), inside(&java)?),
        format!("{}:{}", machine.display(), inside(&machine)?),
        format!("{}:/", root.display()),
        format!("{}:/zipkin.jar", jar.display()),
    ];
    let entry = serde_json::json!([inside(&java)?, "-Xmx256m", "-jar", "/zipkin.jar"]).to_string();
    archive(&dir.join("zipkin.tar"), ZIPKIN, &entry, &sources)?;
    for used in [maven, root] {
        std::fs::remove_dir_all(&used).with_context(|| format!("remove {}", used.display()))?;
    }
    Ok(())
}

/// A Debian package's files, unpacked beside the machine's own.
fn unpack(package: &str, dir: &Path, root: &Path) -> Result<()> {
    let folder = dir.join("package");
    std::fs::create_dir_all(&folder)?;
    let mut apt = Command::new("apt-get");
    sh::run(apt.args(["download", "-q", package]).current_dir(&folder).stdout(Stdio::null()))?;
    let found = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).next();
    let Some(file) = found else { bail!("apt-get download {package} left no file") };
    sh::run(Command::new("dpkg-deb").arg("-x").args([&file, root]))?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// An image archive of these files and the libraries they need.
fn archive(out: &Path, name: &str, entry: &str, sources: &[String]) -> Result<()> {
    let mut python = Command::new("python3");
    python.arg(sh::root().join("e2e/cluster/image.py")).arg(out).args([name, entry]).args(sources);
    sh::run(python.arg("--libs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_the_dashboards() {
        let path = samples().join("grafana.yaml");
        let have = std::fs::read_to_string(&path).unwrap();
        assert!(
            have == grafana().unwrap(),
            "cargo xtask bless writes the dashboards into {}",
            path.display()
        );
        let files: Vec<&str> = MAPS.iter().flat_map(|(_, files)| files.iter().copied()).collect();
        let boards = std::fs::read_dir(samples().join("dashboards")).unwrap().count();
        assert_eq!(boards, files.len(), "{files:?}");
    }

    #[test]
    fn the_manifest_names_the_prometheus_that_is_tested() {
        let manifest = std::fs::read_to_string(samples().join("prometheus.yaml")).unwrap();
        let short = PROMETHEUS.trim_start_matches("docker.io/");
        assert!(manifest.contains(&format!("image: {short}\n")), "{short}");
        let pinned = std::fs::read_to_string(module().join("go.mod")).unwrap();
        let version = short.rsplit_once(":v").unwrap().1.split('.').collect::<Vec<_>>();
        let wanted =
            format!("github.com/prometheus/prometheus v0.{}{:02}.{}", version[0], version[1], version[2]);
        assert!(pinned.contains(&wanted), "{wanted}");
    }
}
