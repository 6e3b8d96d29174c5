//! Two data planes, one config. Both planes are asked the same, and must give the same status, headers, upstream and
//! response flags. What may differ is listed in `docs/differences.md` and nowhere else.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod bootstrap;
mod calls;
mod differences;
mod frames;
mod h2spec;
mod limits;
mod overload;
mod raw;
mod samples;
mod sockets;
mod stage;
mod streams;
mod strict;

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { calls::case(stringify!($name)); })*

        #[test]
        fn every_case_file_is_run() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planes/cases");
            let mut files: Vec<String> = std::fs::read_dir(folder).unwrap().flatten()
                .map(|entry| entry.path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
            files.sort();
            let mut known = vec![$(stringify!($name).to_string(),)*];
            known.sort();
            assert_eq!(files, known);
        }
    };
}

cases! {
    matches rewrites redirects headers faults retries timeouts weights cors missing mirrors methods paths bodies hashes
    framing upgrades
}
