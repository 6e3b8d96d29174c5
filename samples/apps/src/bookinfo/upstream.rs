//! Where another bookinfo service is: `http://HOST[.DOMAIN]:PORT/NAME/ID`. In: the environment variables
//! `<NAME>_HOSTNAME`, `<NAME>_SERVICE_PORT` and `SERVICES_DOMAIN`. Used by productpage and reviews.

/// Another service of the bookstore.
#[derive(Clone, Debug)]
pub struct Upstream {
    name: &'static str,
    base: String,
}

impl Upstream {
    /// As the environment says; by default the service's own name, port 9080.
    pub fn from_env(name: &'static str) -> Self {
        let upper = name.to_uppercase();
        let get = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        let host = get(&format!("{upper}_HOSTNAME")).unwrap_or_else(|| name.to_owned());
        let domain = get("SERVICES_DOMAIN").map(|domain| format!(".{domain}")).unwrap_or_default();
        let port = get(&format!("{upper}_SERVICE_PORT")).unwrap_or_else(|| "9080".to_owned());
        Self::at(name, &format!("{host}{domain}:{port}"))
    }

    /// At `authority` (host and port).
    pub fn at(name: &'static str, authority: &str) -> Self {
        Self { name, base: format!("http://{authority}") }
    }

    /// The service's name, for instance `reviews`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Scheme, host and port.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The URL of a book.
    pub fn url(&self, id: &str) -> String {
        format!("{}/{}/{id}", self.base, self.name)
    }
}
