//! The bookstore: its page, its errors, its users, what it passes on.

use super::{Got, Server, get, get_with, nobody, send, start};
use http::{Method, StatusCode};
use samples::bookinfo::details::Details;
use samples::bookinfo::productpage::Productpage;
use samples::bookinfo::ratings::Ratings;
use samples::bookinfo::reviews::Reviews;
use samples::bookinfo::{Upstream, ratings, ratings_db};
use samples::net::{App, Call, Dialing, Reply, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

fn up(name: &'static str, at: SocketAddr) -> Upstream {
    Upstream::at(name, &at.to_string())
}

async fn ratings() -> Server {
    start(Ratings::new(ratings::Mood::Good)).await
}

async fn reviews(ratings: Option<SocketAddr>, color: &str) -> Server {
    start(Reviews::new(ratings.map(|at| up("ratings", at)), color)).await
}

async fn page(details: SocketAddr, reviews: SocketAddr, ratings: SocketAddr) -> Server {
    start(Productpage::new(up("details", details), up("reviews", reviews), up("ratings", ratings))).await
}

#[tokio::test]
async fn the_page_is_made_of_all_four_services() {
    let (details, ratings) = (start(Details::default()).await, ratings().await);
    for (color, stars, count) in
        [(None, "", 0), (Some("black"), "text-black-500", 9), (Some("red"), "text-red-500", 9)]
    {
        let reviews = reviews(color.map(|_| ratings.at), color.unwrap_or("black")).await;
        let page = page(details.at, reviews.at, ratings.at).await;
        let got = get(page.at, "/productpage").await;
        assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
        for text in [
            "<title>Simple Bookstore App</title>",
            "The Comedy of Errors",
            "Book Details",
            "PublisherA",
            "1234567890",
            "Book Reviews",
            "Reviewer1",
            "Reviewer2",
            "Reviews served by",
        ] {
            assert!(got.body.contains(text), "{color:?}: no '{text}'");
        }
        // 5 and 4 full stars.
        assert_eq!(got.body.matches(r#""glyphicon glyphicon-star""#).count(), count, "{color:?}");
        assert!(got.body.contains(stars) && !got.body.contains("Error fetching"));
        // Nothing is loaded from elsewhere, nothing runs.
        assert!(!got.body.contains("<script") && !got.body.contains("src=\"http"));
    }
    let page = page(details.at, nobody().await, ratings.at).await;
    for path in ["/static/style.css", "/static/logo.svg", "/health", "/", "/metrics"] {
        assert_eq!(get(page.at, path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(get(page.at, "/static/../secret").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_comes_whatever_is_down() {
    let down = nobody().await;
    let (details, ratings) = (start(Details::default()).await, ratings().await);

    let without_details = page(down, reviews(Some(ratings.at), "red").await.at, ratings.at).await;
    let got = get(without_details.at, "/productpage").await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(got.body.contains("Error fetching product details"));
    assert!(got.body.contains("Sorry, product details are currently unavailable for this book."));

    let without_reviews = page(details.at, down, ratings.at).await;
    let got = get(without_reviews.at, "/productpage").await;
    assert!(got.body.contains("Error fetching product reviews"));
    assert!(got.body.contains("Sorry, product reviews are currently unavailable for this book."));
    assert!(got.body.contains("Book Details"));

    let v2 = reviews(Some(down), "black").await;
    let without_ratings = page(details.at, v2.at, down).await;
    let got = get(without_ratings.at, "/productpage").await;
    assert_eq!(got.body.matches("Ratings service is currently unavailable").count(), 2);
    assert!(got.body.contains("Reviewer2") && !got.body.contains("glyphicon-star"));
}

/// Answers after `delay`, and counts.
struct Slow {
    delay: Duration,
    asked: Arc<Mutex<u32>>,
}

impl App for Slow {
    async fn answer(self: Arc<Self>, _: Call) -> Reply {
        *self.asked.lock().unwrap() += 1;
        tokio::time::sleep(self.delay).await;
        json(StatusCode::OK, &serde_json::json!({"ratings": {"Reviewer1": 1, "Reviewer2": 1}, "reviews": []}))
    }
}

#[tokio::test]
async fn the_page_asks_twice_for_late_reviews_and_gives_up() {
    let asked = Arc::new(Mutex::new(0));
    let late = start(Slow { delay: Duration::from_secs(60), asked: asked.clone() }).await;
    let details = start(Details::default()).await;
    let mut app = Productpage::new(up("details", details.at), up("reviews", late.at), up("ratings", late.at));
    assert_eq!(app.timeout, Duration::from_secs(3));
    app.timeout = Duration::from_millis(150);
    let page = start(app).await;
    let got = get(page.at, "/productpage").await;
    assert!(got.body.contains("Sorry, product reviews are currently unavailable for this book."));
    assert_eq!(*asked.lock().unwrap(), 2);
    let metrics = get(page.at, "/metrics").await.body;
    let line = "request_result_total{destination_app=\"reviews\",response_code=\"500\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn reviews_come_without_stars_when_ratings_is_late() {
    // The colours differ in patience, as documented.
    assert_eq!(Reviews::new(None, "black").timeout, Duration::from_secs(10));
    assert_eq!(Reviews::new(None, "red").timeout, Duration::from_millis(2500));
    let asked = Arc::new(Mutex::new(0));
    let late = start(Slow { delay: Duration::from_secs(60), asked }).await;
    let mut app = Reviews::new(Some(up("ratings", late.at)), "black");
    app.timeout = Duration::from_millis(150);
    let reviews = start(app).await;
    let got = get(reviews.at, "/reviews/0").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["reviews"][0]["rating"]["error"], "Ratings service is currently unavailable");
}

#[tokio::test]
async fn the_services_answer_as_documented() {
    let (details, ratings) = (start(Details::default()).await, ratings().await);
    let book = get(details.at, "/details/0").await.json();
    assert_eq!(
        (&book["id"], &book["ISBN-10"], &book["year"]),
        (&0.into(), &"1234567890".into(), &1595.into())
    );
    assert_eq!(get(details.at, "/details/x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(get(details.at, "/health").await.json()["status"], "Details is healthy");

    let stars = get(ratings.at, "/ratings/0").await.json();
    assert_eq!(stars, serde_json::json!({"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}));
    assert_eq!(get(ratings.at, "/ratings/x").await.status, StatusCode::BAD_REQUEST);
    let url = format!("http://{}/ratings/7", ratings.at);
    let posted = send(&Dialing::default(), Method::POST, &url, &[], r#"{"Reviewer1":1}"#).await;
    assert_eq!(posted.json()["ratings"]["Reviewer1"], 1);
    assert_eq!(get(ratings.at, "/ratings/7").await.json()["ratings"]["Reviewer1"], 1);
    let wrong = send(&Dialing::default(), Method::POST, &url, &[], "{").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);

    let reviews = reviews(Some(ratings.at), "red").await;
    let said = get(reviews.at, "/reviews/0").await.json();
    assert_eq!(said["id"], "0");
    assert_eq!(said["clustername"], "null");
    assert!(said["podname"].as_str().is_some_and(|pod| !pod.is_empty()));
    assert_eq!(said["reviews"][1]["rating"], serde_json::json!({"stars": 4, "color": "red"}));
    assert_eq!(get(reviews.at, "/health").await.json()["status"], "Reviews is healthy");

    let page = page(details.at, reviews.at, ratings.at).await;
    let products = get(page.at, "/api/v1/products").await.json();
    assert_eq!(products[0]["title"], "The Comedy of Errors");
    assert_eq!(get(page.at, "/api/v1/products/0").await.json()["pages"], 200);
    assert_eq!(
        get(page.at, "/api/v1/products/0/reviews").await.json()["reviews"][0]["reviewer"],
        "Reviewer1"
    );
    assert_eq!(get(page.at, "/api/v1/products/0/ratings").await.json()["ratings"]["Reviewer2"], 4);
    let passed_on = get(page.at, "/api/v1/products/x").await;
    assert_eq!(passed_on.status, StatusCode::BAD_REQUEST);
    assert_eq!(passed_on.json()["error"], "Sorry, product details are currently unavailable for this book.");
}

#[tokio::test]
async fn ratings_v2_asks_its_database() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mongodb://{}/test", listener.local_addr().unwrap());
    tokio::spawn(ratings_db::serve(listener, [2, 1]));
    let v2 = start(Ratings::with_database(ratings_db::authority(&url).unwrap())).await;
    assert_eq!(get(v2.at, "/ratings/0").await.json()["ratings"]["Reviewer1"], 2);

    let lost = start(Ratings::with_database(&nobody().await.to_string())).await;
    let got = get(lost.at, "/ratings/0").await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(got.json()["error"], "could not connect to ratings database");
}

/// Remembers the headers it was sent.
struct Ear(Arc<Mutex<Vec<http::HeaderMap>>>);

impl App for Ear {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        self.0.lock().unwrap().push(call.request.headers().clone());
        json(StatusCode::OK, &serde_json::json!({"reviews": [], "ratings": {}}))
    }
}

fn session(got: &Got) -> String {
    got.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn jason_signs_in_and_every_service_hears_of_him() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = start(Ear(heard.clone())).await;
    let reviews = reviews(Some(ear.at), "black").await;
    let page = page(ear.at, reviews.at, ear.at).await;

    let url = format!("http://{}/login", page.at);
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("referer", "http://shop.example/productpage?u=1"),
    ];
    let got = send(&Dialing::default(), Method::POST, &url, &form, "username=jason&passwd=any").await;
    assert_eq!((got.status, got.header("location")), (StatusCode::FOUND, "/productpage?u=1"));
    let cookie = session(&got);

    let trace = ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124");
    let sent = [("cookie", cookie.as_str()), trace, ("x-request-id", "r1"), ("accept-language", "de")];
    let got = get_with(page.at, "/productpage", &sent).await;
    assert!(got.body.contains(">jason<") && got.body.contains("Sign out"));
    {
        let heard = heard.lock().unwrap();
        // details and, through reviews, ratings.
        assert_eq!(heard.len(), 2);
        for headers in &*heard {
            assert_eq!(headers["end-user"], "jason");
            assert_eq!(headers["x-b3-traceid"], trace.1);
            assert_eq!(headers["x-request-id"], "r1");
            assert!(!headers.contains_key("accept-language"));
        }
    }

    let out = get_with(page.at, "/logout", &[("cookie", &cookie)]).await;
    assert_eq!(
        (out.status, out.header("location"), session(&out).as_str()),
        (StatusCode::FOUND, "/productpage", "session=")
    );
    assert!(get(page.at, "/productpage").await.body.contains("Sign in"));
    assert!(!heard.lock().unwrap().last().unwrap().contains_key("end-user"));

    let nameless = send(&Dialing::default(), Method::POST, &url, &[], "passwd=x").await;
    assert_eq!(nameless.status, StatusCode::BAD_REQUEST);
    assert_eq!(get(page.at, "/login").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_redirect_never_leaves_the_site() {
    let down = nobody().await;
    let page = page(down, down, down).await;
    for referer in
        ["http://evil.example//other.example/", "javascript:alert(1)", "nonsense", "http://evil.example/"]
    {
        let got = get_with(page.at, "/logout", &[("referer", referer)]).await;
        assert_eq!(got.header("location"), "/productpage", "{referer}");
    }
}

#[tokio::test]
async fn a_proxy_is_used_and_left_out_as_told() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let proxy = start(Ear(heard.clone())).await;
    let dialing = Dialing {
        proxy: Some(proxy.at.to_string()),
        no_proxy: vec!["127.0.0.1".into()],
        ..Dialing::default()
    };
    let limit = Duration::from_secs(5);
    let headers = http::HeaderMap::new();
    dialing.get("http://reviews.default.svc:9080/reviews/0", &headers, limit).await.unwrap();
    assert_eq!(heard.lock().unwrap()[0]["host"], "reviews.default.svc:9080");
    let direct = start(Details::default()).await;
    dialing.get(&format!("http://{}/details/0", direct.at), &headers, limit).await.unwrap();
    assert_eq!(heard.lock().unwrap().len(), 1);
}
