//! What is wrong with an object stands in its status, where it is asked for.

use e2e::control::Control;
use e2e::until::eventually;

const WRONG: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec: {hosts: [a.example.com], gateways: [nowhere], http: [{directResponse: {status: 204}}]}
";

fn apply(control: &Control, text: &str) {
    let file = std::env::temp_dir().join(format!("analysis-{}.yaml", control.namespace.name()));
    std::fs::write(&file, text).unwrap();
    control.namespace.run(&["apply", "-f", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
}

fn of(control: &Control, name: &str, path: &str) -> String {
    control.namespace.run(&["get", "virtualservice", name, "-o", &format!("jsonpath={{{path}}}")])
}

const CODES: &str = ".status.validationMessages[*].type.code";

#[test]
fn findings_are_written_into_statuses_and_taken_back() {
    let control = Control::new(&[]);
    apply(&control, &WRONG.replace("NAME", "first"));
    let on = [("PILOT_ENABLE_ANALYSIS", "true"), ("PILOT_ANALYSIS_INTERVAL", "200ms")];
    let _replica = control.ready("pilot", &on);
    let told = |name: &str, codes: &str| {
        eventually("the codes", || match of(&control, name, CODES) {
            found if found == codes => Ok(()),
            found => Err(found),
        });
    };
    told("first", "IST0101");
    assert_eq!(
        of(&control, "first", ".status.observedGeneration"),
        of(&control, "first", ".metadata.generation")
    );
    let version = of(&control, "first", ".metadata.resourceVersion");
    apply(&control, &WRONG.replace("NAME", "second"));
    told("second", "IST0101");
    assert_eq!(of(&control, "first", ".metadata.resourceVersion"), version, "written once");
    apply(&control, &WRONG.replace("NAME", "first").replace("[nowhere]", "[mesh]"));
    told("first", "");
    let holder = ["get", "lease", "istio-analyze-leader", "-o", "jsonpath={.spec.holderIdentity}"];
    assert_eq!(control.namespace.run(&holder), "pilot");
}
