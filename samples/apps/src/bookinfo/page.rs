//! The HTML of productpage. In: what details and reviews said, who is signed in. Out: a page without scripts and
//! without anything from other hosts. Texts and class names that the documented tasks look for are kept: the
//! title, the error sentences, `glyphicon-star` on every full star and `text-COLOR-500` around them.
//! Everything that comes from another service is escaped, the book's description (ours) is not.

use super::Upstream;
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;

const PRODUCT: &str = include_str!("product.html");
const INDEX: &str = include_str!("index.html");

/// What another service said, and how long it took.
pub(super) struct Part {
    pub(super) service: &'static str,
    pub(super) status: StatusCode,
    pub(super) value: Value,
    pub(super) took: Duration,
}

/// What the page shows.
pub(super) struct View<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) pod: &'a str,
    pub(super) book: &'a Value,
    pub(super) details: Part,
    pub(super) reviews: Part,
}

/// The page of a book.
pub(super) fn product(view: &View) -> String {
    let author = text(&view.details.value["author"]);
    let year = text(&view.details.value["year"]);
    let byline = match (author.is_empty(), year.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("by {author}"),
        (false, false) => format!("by {author}, {year}"),
    };
    fill(
        PRODUCT,
        &[
            ("account", &account(view.user)),
            ("title", &text(&view.book["title"])),
            ("byline", &byline),
            ("description", view.book["descriptionHtml"].as_str().unwrap_or_default()),
            ("details", &details(&view.details)),
            ("reviews", &reviews(&view.reviews)),
            ("calls", &calls(view)),
        ],
    )
}

/// The page at `/`: where the services are.
pub(super) fn index(services: &[&Upstream]) -> String {
    let rows: String = services
        .iter()
        .map(|of| format!("<tr><th>{}</th><td><code>{}</code></td></tr>", of.name(), escape(of.base())))
        .collect();
    fill(INDEX, &[("services", &rows)])
}

fn account(user: Option<&str>) -> String {
    match user {
        None => r#"<button class="button" id="sign-in-button" popovertarget="sign-in">Sign in</button>"#
            .to_owned(),
        Some(user) => {
            let initial: String = user.chars().next().into_iter().flat_map(char::to_uppercase).collect();
            format!(
                r#"<span class="who"><span class="avatar">{}</span><span>{}</span></span><a class="button quiet" href="logout">Sign out</a>"#,
                escape(&initial),
                escape(user)
            )
        }
    }
}

fn details(part: &Part) -> String {
    if part.status != StatusCode::OK {
        return failed("Error fetching product details", part);
    }
    let facts: String = [
        ("Type", "type"),
        ("Pages", "pages"),
        ("Publisher", "publisher"),
        ("Language", "language"),
        ("ISBN-10", "ISBN-10"),
        ("ISBN-13", "ISBN-13"),
    ]
    .iter()
    .map(|(label, key)| format!("<div><dt>{label}</dt><dd>{}</dd></div>", text(&part.value[*key])))
    .collect();
    format!("<h2>Book Details</h2>\n<dl class=\"facts\">{facts}</dl>")
}

fn reviews(part: &Part) -> String {
    if part.status != StatusCode::OK {
        return failed("Error fetching product reviews", part);
    }
    let pod = text(&part.value["podname"]);
    let cluster = match text(&part.value["clustername"]).as_str() {
        "" | "null" => String::new(),
        cluster => format!(" on cluster <code>{cluster}</code>"),
    };
    let cards: String = part.value["reviews"].as_array().into_iter().flatten().map(review).collect();
    format!(
        "<h2>Book Reviews</h2>\n<div class=\"reviews\">{cards}</div>\n\
         <p class=\"served\">Reviews served by: <code>{pod}</code>{cluster}</p>"
    )
}

fn review(review: &Value) -> String {
    let reviewer = text(&review["reviewer"]);
    let number = reviewer.trim_start_matches(|c: char| !c.is_ascii_digit());
    let rating = &review["rating"];
    let stars = match (rating["stars"].as_u64(), rating["error"].as_str()) {
        (Some(count), _) => stars(count, rating["color"].as_str().unwrap_or("black")),
        (None, Some(error)) => format!("<p class=\"no-stars\">{}</p>", escape(error)),
        (None, None) => String::new(),
    };
    format!(
        "<article class=\"review\">{stars}<blockquote>{}</blockquote>\
         <footer><span class=\"avatar\">R{number}</span> {reviewer}</footer></article>",
        text(&review["text"])
    )
}

fn stars(count: u64, color: &str) -> String {
    let color: String = color.chars().filter(char::is_ascii_alphanumeric).collect();
    let star = |full: bool| match full {
        true => r#"<span class="glyphicon glyphicon-star" aria-hidden="true">&#9733;</span>"#,
        false => r#"<span class="glyphicon glyphicon-star-empty" aria-hidden="true">&#9734;</span>"#,
    };
    let row: String = (0..5).map(|n| star(n < count)).collect();
    format!(
        "<div class=\"stars text-{color}-500\" style=\"color: var(--star-{color}, {color})\" role=\"img\" \
         aria-label=\"{count} of 5 stars\">{row}</div>"
    )
}

fn failed(title: &str, part: &Part) -> String {
    let why = text(&part.value["error"]);
    format!("<div class=\"failed\" role=\"alert\"><h2>{title}</h2><p>{why}</p></div>")
}

/// The strip at the foot: which calls made this page.
fn calls(view: &View) -> String {
    let chip = |part: &Part| {
        let state = if part.status == StatusCode::OK { "good" } else { "bad" };
        let took = part.took.as_secs_f64();
        let took = if took < 1.0 { format!("{:.0} ms", took * 1e3) } else { format!("{took:.1} s") };
        let (service, status) = (part.service, part.status.as_u16());
        format!("<span class=\"chip {state}\"><b>{service}</b> {status} &middot; <i>{took}</i></span>")
    };
    format!(
        "<span class=\"chip\"><b>productpage</b> <i>{}</i></span><span class=\"arrow\">&rarr;</span>{}{}",
        escape(view.pod),
        chip(&view.details),
        chip(&view.reviews)
    )
}

/// A JSON string or number as HTML text; empty if it is neither.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Puts values where the template says `{{name}}`; values are not searched for names themselves.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the templates close what they open");
        out.push_str(before);
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(value.expect("the templates name known values").1);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(service: &'static str, status: StatusCode, value: Value) -> Part {
        Part { service, status, value, took: Duration::from_millis(3) }
    }

    #[test]
    fn what_services_say_cannot_become_markup() {
        let evil = "<script>alert(1)</script>";
        let book = json!({"title": "T", "descriptionHtml": "<b>ours</b>"});
        let page = product(&View {
            user: Some(evil),
            pod: evil,
            book: &book,
            details: part("details", StatusCode::OK, json!({"type": evil, "author": evil})),
            reviews: part(
                "reviews",
                StatusCode::OK,
                json!({"podname": evil, "clustername": evil, "reviews": [
                    {"reviewer": evil, "text": evil, "rating": {"stars": 3, "color": "red;\"><script>"}}]}),
            ),
        });
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("<b>ours</b>"));
    }

    #[test]
    fn red_is_said_of_red_stars_only() {
        let book = json!({"title": "T"});
        let page = product(&View {
            user: None,
            pod: "p",
            book: &book,
            details: part("details", StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "no details"})),
            reviews: part("reviews", StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "no reviews"})),
        });
        assert!(page.contains("Error fetching product details") && page.contains("no details"));
        assert!(page.contains("Error fetching product reviews") && page.contains("no reviews"));
        assert!(!page.contains("text-red-500") && !page.contains("glyphicon-star"));
        assert!(page.contains("<title>Simple Bookstore App</title>"));
    }
}
