//! Formats of access logs and headers, with `%OPERATORS%`.
//!
//! Promises: a format is refused in words or can be rendered; it keeps its own text; a line of JSON is JSON.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use proxy::config::Direction;
use proxy::observe::{Conn, JsonFormat, LogFormat, Subject, TcpFacts, TextFormat, access_log};

pub fn log_format(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let format = match TextFormat::parse(text) {
        Ok(format) => format,
        Err(why) => return assert!(!why.is_empty()),
    };
    assert_eq!(&*format.source, text);
    let facts = facts();
    let subject = Subject::Tcp(&facts);
    let mut line = String::new();
    format.render(&subject, &mut line);
    let header = format.header(&subject);
    assert!(header.len() <= line.len() || !line.contains('-'), "{header:?} {line:?}");
    if !text.contains('%') {
        assert_eq!(line, text);
    }
    let mut line = String::new();
    access_log::line(&LogFormat::Json(JsonFormat::new([(text, format)])), &subject, &mut line);
    let read: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
    assert!(read.get(text).is_some(), "{line}");
}

fn facts() -> TcpFacts {
    let conn = Conn {
        id: 1,
        peer: ([10, 9, 9, 9], 1000).into(),
        local: ([10, 8, 8, 8], 80).into(),
        direction: Direction::Outbound,
        listener: "test".into(),
        borrowed: None,
        tls: None,
        server_name: Some("a\"\\\u{1}\u{fffd}.example".into()),
        tcp_peer: parking_lot::Mutex::new(None),
        started: Instant::now(),
    };
    TcpFacts {
        conn: Arc::new(conn),
        start: Instant::now(),
        start_wall: SystemTime::UNIX_EPOCH,
        cluster: None,
        cluster_name: Some("outbound|80||a".into()),
        endpoint: None,
        upstream: Some(([10, 7, 7, 7], 80).into()),
        upstream_local: None,
        upstream_tls: None,
        upstream_failure: None,
        failures: Vec::new(),
        details: None,
        bytes_received: 12,
        bytes_sent: 34,
        ended: None,
        downstream_peer: None,
        upstream_peer: None,
    }
}
