//! RFC 9112 as a judge: takes the first message off bytes, or says why there is none that every reader would see alike.
//!
//! Written from the standard and from nothing else, in the plainest way. It knows no leniency: a message is valid, it
//! is not complete, or it is not one.

/// A message whose limits nobody can doubt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Method and target, or the status as text.
    pub(crate) start: (String, String),
    pub(crate) minor: u8,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) chunked: bool,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// Bytes that it took.
    pub(crate) size: usize,
}

/// What bytes begin with.
#[derive(Debug)]
pub(crate) enum Read {
    Whole(Message),
    /// Valid so far.
    Part,
    Broken(&'static str),
}

/// Why reading stopped.
enum Stop {
    Part,
    Broken(&'static str),
}

type Step<T> = Result<T, Stop>;

fn broken<T>(why: &'static str) -> Step<T> {
    Err(Stop::Broken(why))
}

/// The request at the start of `bytes`.
pub(crate) fn request(bytes: &[u8]) -> Read {
    read(bytes, request_head, None)
}

/// The response at the start of `bytes` to a request with `method`; `ended`: no more bytes come.
pub(crate) fn response(bytes: &[u8], method: &str, ended: bool) -> Read {
    read(bytes, response_head, Some((method, ended)))
}

fn read(bytes: &[u8], head: fn(&[u8]) -> Step<Message>, response: Option<(&str, bool)>) -> Read {
    let mut rest = Lines(bytes);
    let whole = (|| {
        let mut message = head(rest.line()?)?;
        message.headers = rest.fields()?;
        rest.body(&mut message, response)?;
        message.size = bytes.len() - rest.0.len();
        Ok(message)
    })();
    match whole {
        Ok(message) => Read::Whole(message),
        Err(Stop::Part) => Read::Part,
        Err(Stop::Broken(why)) => Read::Broken(why),
    }
}

/// Every request of a connection's input up to the first that is none.
pub(crate) fn requests(mut bytes: &[u8]) -> (Vec<Message>, Result<(), &'static str>) {
    let mut all = Vec::new();
    loop {
        // RFC 9112 2.2: empty lines before a request line are ignored.
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        if bytes.is_empty() {
            return (all, Ok(()));
        }
        match request(bytes) {
            Read::Whole(message) => {
                bytes = &bytes[message.size..];
                let last = message.is_last();
                all.push(message);
                if last {
                    return (all, Ok(()));
                }
            }
            Read::Part => return (all, Err("not complete")),
            Read::Broken(why) => return (all, Err(why)),
        }
    }
}

impl Message {
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &value[..]).collect()
    }

    /// No other message follows on the connection.
    pub(crate) fn is_last(&self) -> bool {
        let names = |wanted: &str| {
            let mut tokens =
                self.values("connection").into_iter().flat_map(|value| value.split(|b| *b == b','));
            tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
        };
        names("close") || (self.minor == 0 && !names("keep-alive"))
    }

    /// What a proxy must not send: more than it needs, or what another reader might understand in another way.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value);
            if name.bytes().any(|b| b.is_ascii_uppercase()) {
                faults.push(format!("name {name} is not in lower case"));
            }
            match name.as_str() {
                "connection" if value != "upgrade" && value != "close" => {
                    faults.push(format!("connection: {value}"))
                }
                "keep-alive" | "proxy-connection" | "http2-settings" => {
                    faults.push(format!("{name}: {value}"))
                }
                "te" if value != "trailers" => faults.push(format!("te: {value}")),
                "content-length" if value.len() > 1 && value.starts_with('0') => {
                    faults.push(format!("content-length: {value}"));
                }
                "transfer-encoding" if value != "chunked" => {
                    faults.push(format!("transfer-encoding: {value}"))
                }
                _ => {}
            }
        }
        for (name, _) in &self.trailers {
            if NEVER_TRAIL.contains(&name.as_str()) {
                faults.push(format!("trailer {name}"));
            }
        }
        let target = &self.start.1;
        if !target.starts_with('/') && target != "*" && self.start.0 != "CONNECT" {
            faults.push(format!("target {target}"));
        }
        faults
    }
}

/// Fields that say how a message is read (RFC 9110 6.5.1).
const NEVER_TRAIL: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "trailer",
    "te",
    "upgrade",
    "authorization",
    "content-type",
];

struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// Up to CRLF; neither CR nor LF nor NUL is anywhere else.
    fn line(&mut self) -> Step<&'a [u8]> {
        let Some(end) = self.0.iter().position(|b| b"\r\n\0".contains(b)) else { return Err(Stop::Part) };
        match (self.0[end], self.0.get(end + 1)) {
            (b'\r', Some(b'\n')) => {
                let line = &self.0[..end];
                self.0 = &self.0[end + 2..];
                Ok(line)
            }
            (b'\r', None) => Err(Stop::Part),
            (b'\r', Some(_)) => broken("CR alone"),
            (b'\n', _) => broken("LF alone"),
            _ => broken("NUL"),
        }
    }

    fn fields(&mut self) -> Step<Vec<(String, Vec<u8>)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some(colon) = line.iter().position(|b| *b == b':') else { return broken("no colon") };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
                return broken("a name is no token");
            }
            if !value.iter().all(|b| *b == b'\t' || *b == b' ' || (0x21..0x7f).contains(b) || *b >= 0x80) {
                return broken("control character in a value");
            }
            let trimmed = value.trim_ascii();
            fields.push((String::from_utf8_lossy(name).into_owned(), trimmed.to_vec()));
        }
    }

    fn body(&mut self, message: &mut Message, response: Option<(&str, bool)>) -> Step<()> {
        let lengths = message.values("content-length");
        let codings = message.values("transfer-encoding");
        if lengths.len() > 1 || codings.len() > 1 || (lengths.len() == 1 && codings.len() == 1) {
            return broken("more than one framing");
        }
        if codings
            .first()
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked") || message.minor == 0)
        {
            return broken("transfer coding");
        }
        let digits = |text: &[u8]| !text.is_empty() && text.len() < 19 && text.iter().all(u8::is_ascii_digit);
        if lengths.first().is_some_and(|text| !digits(text)) {
            return broken("length is no number");
        }
        let length = lengths.first().map(|text| String::from_utf8_lossy(text).parse::<usize>().unwrap());
        let chunked = !codings.is_empty();
        if let Some((method, ended)) = response {
            let status = message.start.0.as_str();
            if status.starts_with('1') || ["204", "304"].contains(&status) || method == "HEAD" {
                if status.starts_with('1') || status == "204" {
                    // RFC 9110 8.6 and RFC 9112 6.1: neither may be there; a zero misleads nobody.
                    let misleads = chunked || length.is_some_and(|length| length > 0);
                    return if misleads { broken("framing of a response without body") } else { Ok(()) };
                }
                return Ok(());
            }
            if length.is_none() && !chunked {
                message.body = std::mem::take(&mut self.0).to_vec();
                return if ended { Ok(()) } else { Err(Stop::Part) };
            }
        }
        if chunked {
            message.chunked = true;
            return self.chunks(message);
        }
        let length = length.unwrap_or(0);
        if self.0.len() < length {
            return Err(Stop::Part);
        }
        message.body = self.0[..length].to_vec();
        self.0 = &self.0[length..];
        Ok(())
    }

    fn chunks(&mut self, message: &mut Message) -> Step<()> {
        loop {
            let line = self.line()?;
            let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
            let (size, extension) = line.split_at(digits);
            if size.is_empty() || size.len() > 15 {
                return broken("chunk size");
            }
            if !extension.is_empty() && !is_extension(extension) {
                return broken("chunk extension");
            }
            let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16).unwrap();
            if size == 0 {
                message.trailers = self.fields()?;
                return Ok(());
            }
            let Some(data) = self.0.get(..size) else { return Err(Stop::Part) };
            message.body.extend_from_slice(data);
            self.0 = &self.0[size..];
            match self.0 {
                [b'\r', b'\n', rest @ ..] => self.0 = rest,
                [] | [b'\r'] => return Err(Stop::Part),
                _ => return broken("chunk is longer than it says"),
            }
        }
    }
}

/// `;` and what has no control characters; what it says interests nobody.
fn is_extension(text: &[u8]) -> bool {
    text[0] == b';' && text.iter().all(|b| *b == b'\t' || (0x20..0x7f).contains(b))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn request_head(line: &[u8]) -> Step<Message> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = words[..] else { return broken("a request line has three words") };
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return broken("method is no token");
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return broken("target");
    }
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return broken("version"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Message { start: (text(method), text(target)), minor, ..Message::default() })
}

fn response_head(line: &[u8]) -> Step<Message> {
    let (version, rest) = line.split_at(line.len().min(9));
    let minor = match version {
        b"HTTP/1.1 " => 1,
        b"HTTP/1.0 " => 0,
        _ => return broken("version"),
    };
    let (status, reason) = rest.split_at(rest.len().min(3));
    let in_range = matches!(status, [b'1'..=b'9', b, c] if b.is_ascii_digit() && c.is_ascii_digit());
    if !in_range || !(reason.is_empty() || reason[0] == b' ') {
        return broken("status");
    }
    Ok(Message {
        start: (String::from_utf8_lossy(status).into_owned(), String::new()),
        minor,
        ..Message::default()
    })
}

#[test]
fn the_judge_knows_its_law() {
    let verdict = |text: &str| match requests(text.as_bytes()) {
        (all, Ok(())) => all.len().to_string(),
        (_, Err(why)) => why.to_string(),
    };
    for (text, wanted) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "1"),
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "2"),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", "2"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nx: y\r\n\r\n", "1"),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", "not complete"),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", "LF alone"),
        ("GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n", "CR alone"),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", "a name is no token"),
        ("GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n", "no colon"),
        ("POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", "more than one framing"),
        ("POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc", "length is no number"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked, chunked\r\n\r\n", "transfer coding"),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "chunk is longer than it says",
        ),
    ] {
        assert_eq!(verdict(text), wanted, "{text:?}");
    }
}
