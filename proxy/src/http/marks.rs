//! Which families of fields a head has. Most heads have none of those that the pipeline looks for, and a look-up by
//! name costs a hash of it: one pass over the names saves some twenty.
//!
//! In: the fields of a head, as they came. Out: [`Marks`], kept with the exchange. A mark says that a field of the
//! family came; a field that was taken away since, or that the route added, changes nothing.

use http::{HeaderMap, HeaderName};

/// The families of one head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// Fields of one hop: `connection`, `upgrade`, `te`, `keep-alive` and their like.
    pub(crate) const HOP: Marks = Marks(1);
    /// `x-envoy-*`
    pub(crate) const ENVOY: Marks = Marks(1 << 1);
    /// `x-forwarded-client-cert`
    pub(crate) const CERT: Marks = Marks(1 << 2);
    /// `x-forwarded-proto`
    pub(crate) const PROTO: Marks = Marks(1 << 3);
    /// `x-request-id`
    pub(crate) const REQUEST_ID: Marks = Marks(1 << 4);

    /// Looks at all names.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Marks(headers.keys().fold(0, |marks, name| marks | Marks::family(name).0))
    }

    /// True where a field of the family came.
    pub(crate) fn has(self, family: Marks) -> bool {
        self.0 & family.0 != 0
    }

    fn family(name: &HeaderName) -> Marks {
        match name.as_str() {
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" | "te"
            | "http2-settings" => Marks::HOP,
            "x-forwarded-client-cert" => Marks::CERT,
            "x-forwarded-proto" => Marks::PROTO,
            "x-request-id" => Marks::REQUEST_ID,
            name if name.starts_with("x-envoy-") => Marks::ENVOY,
            _ => Marks::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn families() {
        let marks = |names: &[&'static str]| {
            let fields =
                names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a")));
            Marks::of(&fields.collect())
        };
        assert_eq!(marks(&["host", "accept", "x-custom"]), Marks::default());
        let both = marks(&["te", "x-envoy-max-retries"]);
        assert!(both.has(Marks::HOP) && both.has(Marks::ENVOY) && !both.has(Marks::CERT));
        assert!(marks(&["x-forwarded-proto"]).has(Marks::PROTO));
        assert!(marks(&["x-request-id"]).has(Marks::REQUEST_ID));
        assert!(marks(&["x-forwarded-client-cert"]).has(Marks::CERT));
    }
}
