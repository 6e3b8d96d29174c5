//! Reviews: `GET /reviews/ID` gives what two readers say as JSON, with the stars from ratings if
//! ENABLE_RATINGS=true (v2, v3), in STAR_COLOR (black unless it says otherwise). It waits 10 s for ratings when
//! the stars are black, 2.5 s in any other colour: the first is longer than productpage waits, which the
//! documented fault-injection task finds. If ratings fails the reviews come without stars and say so.

use super::Upstream;
use super::forward::forward;
use crate::net::{self, App, Call, Dialing, Listen, Reply, ended, json, pod_name, serve};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json as object};
use std::sync::Arc;
use std::time::Duration;

/// What the readers say.
const REVIEWS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "Two pairs of twins, one long day and not a dull line: I laughed from the first mistaken greeting to \
         the last.",
    ),
    (
        "Reviewer2",
        "Great fun, and over in no time. Look elsewhere in Shakespeare for depth; come here for the timing.",
    ),
];

/// The reviews service.
pub struct Reviews {
    /// Where the stars come from; none: no stars (v1).
    pub ratings: Option<Upstream>,
    /// STAR_COLOR.
    pub color: String,
    /// How long ratings may take.
    pub timeout: Duration,
    /// Name of the pod, shown on the page.
    pub pod: String,
    /// CLUSTER_NAME, or `null`.
    pub cluster: String,
    dialing: Dialing,
}

impl Reviews {
    /// Stars of `color` from `ratings`, with the timeout that belongs to the colour.
    pub fn new(ratings: Option<Upstream>, color: &str) -> Self {
        let timeout = Duration::from_millis(if color == "black" { 10_000 } else { 2_500 });
        let (pod, cluster) = (pod_name(), "null".to_owned());
        Self { ratings, color: color.to_owned(), timeout, pod, cluster, dialing: Dialing::from_env() }
    }

    /// As the environment says: ENABLE_RATINGS, STAR_COLOR, RATINGS_HOSTNAME, RATINGS_SERVICE_PORT,
    /// SERVICES_DOMAIN, HOSTNAME, CLUSTER_NAME.
    pub fn from_env() -> Self {
        let enabled = std::env::var("ENABLE_RATINGS").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let color = std::env::var("STAR_COLOR").unwrap_or_else(|_| "black".to_owned());
        let reviews = Self::new(enabled.then(|| Upstream::from_env("ratings")), &color);
        Self { cluster: std::env::var("CLUSTER_NAME").unwrap_or_else(|_| "null".to_owned()), ..reviews }
    }

    /// The stars of each reviewer; none if ratings did not answer.
    async fn stars(&self, ratings: &Upstream, id: &str, headers: &HeaderMap) -> Option<Value> {
        match self.dialing.get(&ratings.url(id), headers, self.timeout).await {
            Ok((StatusCode::OK, body)) => {
                serde_json::from_slice::<Value>(&body).ok().map(|reply| reply["ratings"].clone())
            }
            Ok((status, _)) => {
                eprintln!("{} answered {status}", ratings.base());
                None
            }
            Err(cause) => {
                eprintln!("{}: {cause}", ratings.base());
                None
            }
        }
    }

    async fn reviews(&self, id: &str, headers: &HeaderMap) -> Value {
        let stars = match &self.ratings {
            None => None,
            Some(ratings) => Some(self.stars(ratings, id, headers).await.unwrap_or_default()),
        };
        let reviews = REVIEWS.map(|(reviewer, text)| {
            let mut review = object!({"reviewer": reviewer, "text": text});
            if let Some(stars) = &stars {
                review["rating"] = match stars[reviewer].as_u64() {
                    Some(count) => object!({"stars": count, "color": self.color}),
                    None => object!({"error": "Ratings service is currently unavailable"}),
                };
            }
            review
        });
        object!({"id": id, "podname": self.pod, "clustername": self.cluster, "reviews": reviews})
    }
}

impl App for Reviews {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.request.uri().path();
        if path == "/health" {
            return json(StatusCode::OK, &object!({"status": "Reviews is healthy"}));
        }
        match path.strip_prefix("/reviews/").map(|id| id.parse::<i32>()) {
            Some(Ok(id)) => {
                let headers = forward(call.request.headers());
                json(StatusCode::OK, &self.reviews(&id.to_string(), &headers).await)
            }
            _ => net::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// Serves reviews until the process is asked to end.
pub async fn run(port: u16, listen: Listen) -> anyhow::Result<()> {
    let listener = listen.on(port).await?;
    serve(listener, Reviews::from_env(), ended()).await
}
