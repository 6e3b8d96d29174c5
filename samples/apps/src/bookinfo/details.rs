//! Details: `GET /details/ID` gives the facts about the book as JSON. With ENABLE_EXTERNAL_BOOK_SERVICE=true
//! (v2) they come from a public web service, over TLS, or in plain HTTP on port 80 if DO_NOT_ENCRYPT=true, so
//! that a mesh can add the TLS. Called by productpage.

use super::forward::forward;
use crate::net::{self, App, Call, Dialing, Listen, Reply, client_config, ended, json, serve};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json as object};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long the web service may take.
const EXTERNAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The book, as the web service knows it.
const ISBN: &str = "0486424618";

/// The details service.
#[derive(Default)]
pub struct Details {
    external: Option<String>,
    dialing: Dialing,
}

impl Details {
    /// As the environment says.
    pub fn from_env() -> anyhow::Result<Self> {
        let on = |key: &str| std::env::var(key).is_ok_and(|value| value == "true");
        if !on("ENABLE_EXTERNAL_BOOK_SERVICE") {
            return Ok(Self::default());
        }
        let plain = on("DO_NOT_ENCRYPT");
        let base = if plain { "http://www.googleapis.com" } else { "https://www.googleapis.com" };
        let tls = if plain { None } else { Some(client_config(None, false, None, false)?) };
        Ok(Self { external: Some(base.to_owned()), dialing: Dialing { tls, ..Dialing::from_env() } })
    }

    async fn external(&self, base: &str, id: i64, headers: &HeaderMap) -> Result<Value, String> {
        let url = format!("{base}/books/v1/volumes?q=isbn:{ISBN}");
        let fetched = self.dialing.get(&url, headers, EXTERNAL_TIMEOUT).await;
        let (status, body) = fetched.map_err(|cause| cause.to_string())?;
        let reply: Value =
            serde_json::from_slice(&body).map_err(|_| format!("book service answered {status}"))?;
        let book = &reply["items"][0]["volumeInfo"];
        if !book.is_object() {
            return Err(format!("book service answered {status} without the book"));
        }
        let isbn = |kind: &str| {
            let known = book["industryIdentifiers"].as_array().into_iter().flatten();
            known.filter(|entry| entry["type"] == kind).map(|entry| entry["identifier"].clone()).next()
        };
        Ok(object!({
            "id": id,
            "author": book["authors"][0],
            "year": book["publishedDate"],
            "type": if book["printType"] == "BOOK" { "paperback" } else { "unknown" },
            "pages": book["pageCount"],
            "publisher": book["publisher"],
            "language": if book["language"] == "en" { "English" } else { "unknown" },
            "ISBN-10": isbn("ISBN_10"),
            "ISBN-13": isbn("ISBN_13"),
        }))
    }
}

fn known(id: i64) -> Value {
    object!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    })
}

impl App for Details {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.request.uri().path();
        if path == "/health" {
            return json(StatusCode::OK, &object!({"status": "Details is healthy"}));
        }
        let Some(id) = path.strip_prefix("/details") else {
            return net::text(StatusCode::NOT_FOUND, "not found\n");
        };
        let Ok(id) = id.trim_matches('/').parse::<i64>() else {
            return json(StatusCode::BAD_REQUEST, &object!({"error": "please provide numeric product id"}));
        };
        match &self.external {
            None => json(StatusCode::OK, &known(id)),
            Some(base) => match self.external(base, id, &forward(call.request.headers())).await {
                Ok(book) => json(StatusCode::OK, &book),
                Err(cause) => json(StatusCode::BAD_REQUEST, &object!({"error": cause})),
            },
        }
    }
}

/// Serves `details` on `listener` until the process is asked to end.
pub async fn run(port: u16, listen: Listen) -> anyhow::Result<()> {
    let listener: TcpListener = listen.on(port).await?;
    serve(listener, Details::from_env()?, ended()).await
}
