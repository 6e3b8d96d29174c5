//! The only code generation: the schema of every message that may appear in a configuration, so that
//! `reflect` can turn any of them into JSON and back.
//!
//! In: the `.proto` files that the crate `envoy-types` ships inside its source, and our own under `proto/`. Out:
//! `schema.bin` in `OUT_DIR`, see `build/schema.rs`. No protoc is needed. Takes about a second.

#[path = "build/schema.rs"]
mod schema;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use protox::Compiler;
use protox::prost::Message;
use protox::prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use protox::prost_reflect::DescriptorPool;
use protox::prost_reflect::prost_types::FileDescriptorProto;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Include paths below `envoy-types/proto`.
const INCLUDES: [&str; 7] = [
    "data-plane-api",
    "xds",
    "googleapis",
    "protoc-gen-validate",
    "opentelemetry-proto",
    "client_model",
    "cel-spec/proto",
];

/// What configurations and dumps are made of; everything that these import comes along.
const ROOTS: [&str; 6] = [
    "data-plane-api/envoy/config",
    "data-plane-api/envoy/extensions",
    "data-plane-api/envoy/admin",
    "data-plane-api/envoy/data/accesslog",
    "data-plane-api/envoy/service",
    "xds",
];

/// A file with a relative name that protox cannot resolve in any order, and what to write instead.
const PATCH: (&str, &str, &str) = (
    "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster.proto",
    " common.dynamic_forward_proxy.v3.",
    " .envoy.extensions.common.dynamic_forward_proxy.v3.",
);

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-env-changed=MESH_BUILD_ID");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let own = PathBuf::from("proto");
    let envoy = envoy_types_source()?.join("proto");

    // The patched copy comes first, so it shadows the original.
    let patched = out.join("patched");
    let copy = patched.join(PATCH.0);
    fs::create_dir_all(copy.parent().ok_or("a file has a folder")?)?;
    let original = fs::read_to_string(envoy.join("data-plane-api").join(PATCH.0))?;
    fs::write(&copy, original.replace(PATCH.1, PATCH.2))?;

    let mut includes = vec![patched, own.clone()];
    includes.extend(INCLUDES.iter().map(|dir| envoy.join(dir)));
    let mut files = vec![];
    for root in ROOTS {
        let root = envoy.join(root);
        collect(&root, &mut files).map_err(|e| format!("{}: {e}", root.display()))?;
    }
    files.retain(|file| !file.ends_with(PATCH.0));
    files.push(copy);
    collect(&own, &mut files)?;
    files.sort_by_key(|file| (shadows(file), file.clone()));

    let pool = DescriptorPool::decode(compile(&includes, files)?.as_slice())?;
    fs::write(out.join("schema.bin"), schema::write(&pool)?)?;
    Ok(())
}

/// Files whose package hides part of the relative names in other files; these come last.
fn shadows(file: &Path) -> bool {
    let text = file.to_string_lossy();
    ["extensions/config", "extensions/filters", "extensions/common"].iter().any(|part| text.contains(part))
}

/// protox looks relative names up in every file that it has opened, protoc only in what a file imports: some of
/// Envoy's files do not get along in one compiler. What fails in one is tried again in a fresh one.
fn compile(includes: &[PathBuf], mut files: Vec<PathBuf>) -> Outcome<Vec<u8>> {
    let mut merged = BTreeMap::new();
    while !files.is_empty() {
        let mut compiler = Compiler::new(includes)?;
        compiler.include_imports(true).include_source_info(false);
        let before = files.len();
        let mut errors = Vec::new();
        files.retain(|file| match compiler.open_file(file) {
            Ok(_) => false,
            Err(error) => {
                errors.push(format!("{}: {error:?}", file.display()));
                true
            }
        });
        if files.len() == before {
            return Err(format!("these files do not compile:\n{}", errors.join("\n")).into());
        }
        split(&compiler.encode_file_descriptor_set(), &mut merged)?;
    }
    let mut set = Vec::new();
    for file in merged.into_values() {
        encode_key(1, WireType::LengthDelimited, &mut set);
        encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(&file);
    }
    Ok(set)
}

/// Adds the files of an encoded set by name. Their bytes stay as they are: decoded and encoded again they would
/// lose the options that are extensions, and with them which fields are secret.
fn split(mut set: &[u8], merged: &mut BTreeMap<String, Vec<u8>>) -> Outcome<()> {
    while !set.is_empty() {
        decode_key(&mut set)?;
        let length = usize::try_from(decode_varint(&mut set)?)?;
        let (file, rest) = set.split_at(length);
        set = rest;
        let name = FileDescriptorProto::decode(file)?.name().to_owned();
        merged.entry(name).or_insert_with(|| file.to_vec());
    }
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// Where cargo keeps the source of `envoy-types`: its registry by convention, else what `cargo metadata` says (a
/// vendored or patched crate).
fn envoy_types_source() -> Outcome<PathBuf> {
    let version = locked_version()?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    if let Some(indexes) = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok()) {
        let mut found = indexes.flatten().map(|index| index.path().join(format!("envoy-types-{version}")));
        if let Some(path) = found.find(|path| path.join("proto").is_dir()) {
            return Ok(path);
        }
    }
    let cargo = env::var_os("CARGO").ok_or("cargo sets CARGO")?;
    let host = env::var("HOST")?;
    let args = ["metadata", "--offline", "--format-version", "1", "--filter-platform", &host];
    let output = Command::new(cargo).args(args).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.split("\"manifest_path\":\"").skip(1).find_map(|rest| {
        let manifest = rest.split('"').next()?;
        manifest.contains("envoy-types").then(|| Path::new(manifest).parent().map(Path::to_owned))?
    });
    found.ok_or_else(|| {
        let why = String::from_utf8_lossy(&output.stderr);
        format!(
            "the source of envoy-types {version} is neither in cargo's registry nor in cargo metadata: {why}"
        )
        .into()
    })
}

fn locked_version() -> Outcome<String> {
    let lock = fs::read_to_string("../Cargo.lock")?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"envoy-types\"").skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version.ok_or("envoy-types is not in Cargo.lock")?.to_owned())
}
