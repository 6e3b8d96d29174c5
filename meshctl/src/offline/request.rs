//! A request as people write it: `GET http://reviews:9080/path`.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A request on paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: http::Method,
    /// `http` or `https`.
    pub scheme: String,
    /// Host without port and brackets.
    pub host: String,
    pub port: u16,
    /// `host` or `host:port` as written.
    pub authority: String,
    /// Path with query.
    pub path: String,
    pub headers: HeaderMap,
}

impl Request {
    /// Reads `[METHOD] URL` and header lines `name: value`. A header `host` replaces the authority.
    ///
    /// # Errors
    /// What is wrong, and how it should look.
    pub fn read(text: &str, headers: &[String]) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (method, url) = match words.as_slice() {
            [url] => ("GET", *url),
            [method, url] => (*method, *url),
            _ => ("", ""),
        };
        if !url.contains("://") {
            return Err(format!("{text:?} is no request; write it like 'GET http://reviews:9080/'"));
        }
        let method = method.parse().map_err(|_| format!("{method:?} is no method"))?;
        let uri: http::Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
        let scheme = uri.scheme_str().unwrap_or("http").to_owned();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            other => return Err(format!("scheme {other}: use http or https")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} has no host"))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Self {
            method,
            scheme,
            host: authority.host().trim_matches(['[', ']']).to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(usual),
            authority: authority.as_str().to_owned(),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            headers: HeaderMap::new(),
        };
        for line in headers {
            let (name, value) =
                line.split_once(':').ok_or_else(|| format!("header {line:?} is not 'name: value'"))?;
            let value = value.trim();
            if name.trim().eq_ignore_ascii_case("host") {
                value.clone_into(&mut request.authority);
                continue;
            }
            let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no header name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| format!("{value:?} is no header value"))?;
            request.headers.append(name, value);
        }
        Ok(request)
    }

    /// The host, if it is an address.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_people_write_them() {
        let headers = ["end-user: jason".to_owned(), "Host: shop.example.com".to_owned()];
        let request = Request::read("POST http://Reviews:9080/reviews/0?x=1", &headers).unwrap();
        assert_eq!((request.method.as_str(), request.host.as_str(), request.port), ("POST", "reviews", 9080));
        assert_eq!(
            (request.authority.as_str(), request.path.as_str()),
            ("shop.example.com", "/reviews/0?x=1")
        );
        assert_eq!(request.headers["end-user"], "jason");
        let plain = Request::read("https://[fd00::1]", &[]).unwrap();
        assert_eq!((plain.port, plain.path.as_str(), plain.address().is_some()), (443, "/", true));
        for bad in ["", "GET", "GET /path", "GET ftp://a/", "GET http://a/ HTTP/1.1"] {
            assert!(Request::read(bad, &[]).is_err(), "{bad}");
        }
    }
}
