//! Entry point.

fn main() {
    meshctl::local::wall::run_if_helper();
}
