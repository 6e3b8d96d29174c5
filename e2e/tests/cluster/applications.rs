//! The sample applications as images, without a mesh: what fails here is not the mesh's fault.

use e2e::cluster::Namespace;
use e2e::until::eventually;

#[test]
fn bookinfo_answers() {
    let bookinfo = Namespace::new();
    bookinfo.deploy(&["bookinfo/platform/kube/bookinfo.yaml"]);
    // The documented way to see that it runs.
    let page = eventually("the page", || {
        let page = bookinfo.exec("deploy/ratings-v1", &["curl", "-sS", "productpage:9080/productpage"])?;
        if page.contains("<title>Simple Bookstore App</title>") { Ok(page) } else { Err(page) }
    });
    assert!(page.contains("Reviewer1"), "reviews answer the page: {page}");
    let code = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://productpage:9080/productpage"];
    assert_eq!(bookinfo.exec("deploy/ratings-v1", &code).unwrap(), "200");
    // Three versions behind one service; which one answered is in the answer.
    let asked = "for i in $(seq 1 30); do curl -s http://reviews:9080/reviews/0; echo; done";
    let answers = bookinfo.exec("deploy/ratings-v1", &["sh", "-c", asked]).unwrap();
    for version in ["reviews-v1-", "reviews-v2-", "reviews-v3-"] {
        assert!(answers.contains(version), "{version}: {answers}");
    }
}

#[test]
fn images_are_not_root_and_hold_one_program() {
    let curl = Namespace::new();
    curl.deploy(&["curl/curl.yaml"]);
    let status = curl.exec("deploy/curl", &["cat", "/proc/self/status"]).unwrap();
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    let passed = curl.exec("deploy/curl", &["/bin/ls", "/"]);
    assert!(passed.is_err(), "there is no ls: {passed:?}");
}

#[test]
fn documented_calls_from_the_curl_pod() {
    let calls = Namespace::new();
    calls.deploy(&["curl/curl.yaml", "httpbin/httpbin.yaml", "tcp-echo/tcp-echo-services.yaml"]);
    let code = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\\n", "http://httpbin:8000/status/418"];
    let said = eventually("httpbin", || calls.exec("deploy/curl", &code));
    assert_eq!(said, "418\n");
    let said = eventually("tcp-echo", || {
        calls.exec("deploy/curl", &["sh", "-c", "(date; sleep 1) | nc tcp-echo 9000"])
    });
    assert!(said.starts_with("one ") || said.starts_with("two "), "{said}");
    assert!(said.contains("UTC"), "{said}");
    let refused = calls.exec("deploy/curl", &["curl", "-sS", "http://nosuch.name.invalid/"]).unwrap_err();
    assert!(refused.contains("Could not resolve host"), "{refused}");
}
