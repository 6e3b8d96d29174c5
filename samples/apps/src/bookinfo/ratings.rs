//! Ratings: `GET /ratings/ID` gives the stars of each reviewer as JSON, `POST /ratings/ID` replaces them in
//! memory. SERVICE_VERSION makes it misbehave on purpose: `v-faulty` (every second answer 503), `v-delayed`
//! (every second answer 7 s late), `v-unavailable` (503 in every other minute), `v-unhealthy` (the same in
//! quarters of an hour, health check included). `v2` asks ratings-db. Called by reviews and productpage.

use super::ratings_db;
use crate::net::{self, App, Call, Listen, Reply, ended, json, read_all, serve};
use http::{Method, StatusCode};
use serde_json::{Value, json as object};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the service does apart from answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Good,
    Faulty,
    Delayed,
    Unavailable,
    Unhealthy,
}

/// The ratings service.
pub struct Ratings {
    mood: Mood,
    database: Option<String>,
    added: Mutex<HashMap<i64, Value>>,
    started: Instant,
}

impl Ratings {
    /// A service with its own ratings.
    pub fn new(mood: Mood) -> Self {
        Self { mood, database: None, added: Mutex::default(), started: Instant::now() }
    }

    /// A service that asks the database at `authority` (host and port).
    pub fn with_database(authority: &str) -> Self {
        Self { database: Some(authority.to_owned()), ..Self::new(Mood::Good) }
    }

    /// As the environment says: SERVICE_VERSION, MONGO_DB_URL.
    pub fn from_env() -> anyhow::Result<Self> {
        let mood = match std::env::var("SERVICE_VERSION").unwrap_or_default().as_str() {
            "v2" => {
                if let Ok(kind) = std::env::var("DB_TYPE") {
                    anyhow::bail!("DB_TYPE={kind}: this ratings knows only ratings-db, by MONGO_DB_URL");
                }
                let url = std::env::var("MONGO_DB_URL").unwrap_or_default();
                return Ok(Self::with_database(ratings_db::authority(&url)?));
            }
            "v-faulty" => Mood::Faulty,
            "v-delayed" => Mood::Delayed,
            "v-unavailable" => Mood::Unavailable,
            "v-unhealthy" => Mood::Unhealthy,
            _ => Mood::Good,
        };
        Ok(Self::new(mood))
    }

    /// Whether the bad phase of `period` seconds is on; the good one comes first.
    fn bad_phase(&self, period: u64) -> bool {
        (self.started.elapsed().as_secs() / period) % 2 == 1
    }

    async fn get(&self, id: i64) -> Reply {
        let broken = match self.mood {
            Mood::Good => false,
            Mood::Faulty => rand::random::<bool>(),
            Mood::Delayed => {
                if rand::random::<bool>() {
                    tokio::time::sleep(Duration::from_secs(7)).await;
                }
                false
            }
            Mood::Unavailable => self.bad_phase(60),
            Mood::Unhealthy => self.bad_phase(900),
        };
        if broken {
            return json(StatusCode::SERVICE_UNAVAILABLE, &object!({"error": "Service unavailable"}));
        }
        let Some(database) = &self.database else { return json(StatusCode::OK, &self.local(id)) };
        match ratings_db::ask(database).await {
            Ok(ratings) => json(StatusCode::OK, &object!({"id": id, "ratings": ratings})),
            Err(cause) => {
                eprintln!("ratings database {database}: {cause}");
                let error = object!({"error": "could not connect to ratings database"});
                json(StatusCode::INTERNAL_SERVER_ERROR, &error)
            }
        }
    }

    async fn post(&self, id: i64, body: hyper::body::Incoming) -> Reply {
        let body = read_all(body).await.unwrap_or_default();
        let Ok(ratings) = serde_json::from_slice::<Value>(&body) else {
            return json(StatusCode::BAD_REQUEST, &object!({"error": "please provide valid ratings JSON"}));
        };
        if self.database.is_some() {
            let error = object!({"error": "Post not implemented for database backed ratings"});
            return json(StatusCode::NOT_IMPLEMENTED, &error);
        }
        self.added.lock().expect("no panic holds it").insert(id, object!({"id": id, "ratings": ratings}));
        json(StatusCode::OK, &self.local(id))
    }

    fn local(&self, id: i64) -> Value {
        let added = self.added.lock().expect("no panic holds it").get(&id).cloned();
        added.unwrap_or_else(|| object!({"id": id, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}))
    }
}

impl App for Ratings {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.request.uri().path();
        if path == "/health" {
            if self.mood == Mood::Unhealthy && self.bad_phase(900) {
                let status = object!({"status": "Ratings is not healthy"});
                return json(StatusCode::INTERNAL_SERVER_ERROR, &status);
            }
            return json(StatusCode::OK, &object!({"status": "Ratings is healthy"}));
        }
        let Some(id) = path.strip_prefix("/ratings") else {
            return net::text(StatusCode::NOT_FOUND, "not found\n");
        };
        let Ok(id) = id.trim_matches('/').parse::<i64>() else {
            return json(StatusCode::BAD_REQUEST, &object!({"error": "please provide numeric product ID"}));
        };
        match *call.request.method() {
            Method::POST => self.post(id, call.request.into_body()).await,
            Method::GET | Method::HEAD => self.get(id).await,
            _ => net::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Serves ratings until the process is asked to end.
pub async fn run(port: u16, listen: Listen) -> anyhow::Result<()> {
    let listener = listen.on(port).await?;
    serve(listener, Ratings::from_env()?, ended()).await
}
