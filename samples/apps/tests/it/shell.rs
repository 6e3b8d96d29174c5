//! The small shell as a process, with the scripts of the documented tasks.

use std::io::Write;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-samples");

/// Status, standard output, standard error.
fn sh(script: &str) -> (i32, String, String) {
    let told = Command::new(PROGRAM).args(["sh", "-c", script]).env("GIVEN", "a b").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (told.status.code().unwrap(), text(told.stdout), text(told.stderr))
}

#[test]
fn scripts() {
    for (script, said) in [
        ("echo one; echo two", "one\ntwo\n"),
        ("echo 'a  b' \"c  d\" e\\ f   g", "a  b c  d e f g\n"),
        ("echo $GIVEN \"$GIVEN\" '$GIVEN' ${GIVEN}c \\$GIVEN", "a b a b $GIVEN a bc $GIVEN\n"),
        ("X=1; Y=$X$X; echo $Y; X=2 env | cat | cat >/dev/null; echo $X", "11\n1\n"),
        ("false && echo no || echo yes; true && echo yes", "yes\nyes\n"),
        ("for i in $(seq 1 3); do echo -n $i,; done; echo", "1,2,3,\n"),
        ("for i in 1 2\ndo (X=$i; echo $X) | cat\ndone # end", "1\n2\n"),
        ("while true; do echo once; exit 0; done; echo never", "once\n"),
        ("(echo out; echo err >&2) 2>/dev/null", "out\n"),
        ("(echo out; echo err >&2) 2>&1 | cat", "out\nerr\n"),
        ("for i in 1 2; do echo $i; done > /dev/null; echo $?", "0\n"),
        ("echo \"\" ''x; echo a;", " x\na\n"),
        ("(nosuchprogram) 2>/dev/null || echo $?", "127\n"),
        ("false; echo $?", "1\n"),
        ("echo \"$(echo \"x  y\")\" $(echo \"x  y\")", "x  y x y\n"),
    ] {
        assert_eq!(sh(script), (0, said.to_owned(), String::new()), "{script}");
    }
    assert_eq!(sh("exit 7").0, 7);
    assert_eq!(sh("nosuchprogram"), (127, String::new(), "sh: nosuchprogram: not found\n".into()));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (script, why) in [
        ("if true; then echo; fi", "if is not known"),
        ("sleep 1 &", "& is not known"),
        ("cat <<EOF", "<< is not known"),
        ("echo `date`", "` is not known"),
        ("echo 'a", "' is missing"),
        ("echo \"a", "\" is missing"),
        ("(echo a", ") is missing"),
        ("for i in 1 2; echo", "do is missing"),
        ("echo a | | cat", "missing"),
        ("echo a &&", "missing"),
        ("cd /", "cd is not known"),
        ("echo ${X:-y}", "only a name"),
    ] {
        let (code, out, told) = sh(script);
        assert!(code != 0 && out.is_empty() && told.contains(why), "{script}: {code} {out} {told}");
    }
}

#[test]
fn a_pod_that_sleeps_ends_when_told() {
    let mut child = Command::new(PROGRAM).args(["sleep", "infinity"]).stdout(Stdio::null()).spawn().unwrap();
    // Its handler may not stand yet; without one the signal ends it as well.
    let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(told.success());
    assert!(!child.wait().unwrap().success());
}

#[test]
fn standard_input_is_a_script() {
    let mut child =
        Command::new(PROGRAM).arg("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"X=5\necho $X\nexit 3\necho never\n").unwrap();
    let told = child.wait_with_output().unwrap();
    assert_eq!((told.status.code(), told.stdout.as_slice()), (Some(3), &b"5\n"[..]));
}

#[test]
fn names_of_links_are_programs() {
    let folder = std::env::temp_dir().join(format!("links-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("date");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    let told = Command::new(&link).arg("+%Y").output().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let year: i32 = String::from_utf8(told.stdout).unwrap().trim().parse().unwrap();
    assert!(year >= 2024);
}
