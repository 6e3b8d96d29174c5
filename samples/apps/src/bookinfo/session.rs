//! Who is signed in: the cookie `session`, base64 of `{"user":"jason"}`. It is not signed: anybody may sign in
//! as anybody here, so there is nothing to protect; whatever follows a dot is ignored, so that a signed cookie
//! of the same form is understood. Used by productpage.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header::COOKIE};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Session {
    user: String,
}

/// The user whom the request's cookie names.
pub(super) fn user(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let value =
        cookies.flat_map(|line| line.split(';')).find_map(|cookie| cookie.trim().strip_prefix("session="))?;
    let payload = value.split('.').next()?.trim_end_matches('=');
    let session: Session = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(session.user).filter(|user| !user.is_empty())
}

/// The `set-cookie` that signs `user` in.
pub(super) fn sign_in(user: &str) -> HeaderValue {
    let session = Session { user: user.to_owned() };
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&session).expect("a string serialises"));
    cookie(&format!("session={payload}; HttpOnly; Path=/; SameSite=Lax"))
}

/// The `set-cookie` that signs out.
pub(super) fn sign_out() -> HeaderValue {
    cookie("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/; SameSite=Lax")
}

fn cookie(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("base64 and fixed text are header characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sign_in_writes_user_reads() {
        let set = sign_in("jason \u{e9}");
        let cookie = set.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("theme=dark; {cookie}").parse().unwrap());
        assert_eq!(user(&headers).as_deref(), Some("jason \u{e9}"));
    }

    #[test]
    fn a_signed_cookie_is_understood_and_rubbish_is_nobody() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, "session=eyJ1c2VyIjoiamFzb24ifQ.YAlq.sig".parse().unwrap());
        assert_eq!(user(&headers).as_deref(), Some("jason"));
        headers.insert(COOKIE, "session=%%%".parse().unwrap());
        assert_eq!(user(&headers), None);
    }
}
