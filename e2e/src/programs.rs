//! Where the programs and samples under test are. Missing ones fail the test with what to do about it.

use std::path::PathBuf;

/// A program of ours, built by `cargo xtask test` or `cargo build --workspace --bins`.
pub fn program(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins`, or `cargo xtask test`",
        path.display()
    );
    path
}

/// The folder of our programs.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("MESH_BIN_DIR") {
        return dir.into();
    }
    // This test runs from target/PROFILE/deps.
    let me = std::env::current_exe().expect("a test knows its own program");
    me.ancestors().nth(2).expect("target/PROFILE/deps/test").to_path_buf()
}

/// A file or folder below `samples`.
pub fn sample(path: &str) -> String {
    let root = std::env::var_os("MESH_SAMPLES")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../samples"), PathBuf::from);
    let path = root.join(path);
    assert!(path.exists(), "no sample {}", path.display());
    path.display().to_string()
}

/// The stock Envoy that judges compatibility.
pub fn envoy() -> PathBuf {
    let path = std::env::var_os("MESH_ENVOY").map(PathBuf::from);
    path.expect(
        "MESH_ENVOY names a stock Envoy; `cargo xtask equip` fetches one and `cargo xtask test` sets it",
    )
}

/// Folder with the stock gRPC for Python.
pub fn python_path() -> PathBuf {
    let path = std::env::var_os("MESH_PYTHONPATH").map(PathBuf::from);
    path.expect("MESH_PYTHONPATH names a folder with grpcio; `cargo xtask equip` fetches it")
}
