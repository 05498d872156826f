use super::*;
use crate::server::tests::fake::{Trouble, start};

#[test]
fn every_template_is_one() {
    for name in ["frame.html", "index.html", "incident.html", "error.html"] {
        assert!(TEMPLATES.get_template(name).is_ok(), "{name}");
    }
    // What stands in a script or a style ends at the first of these.
    assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
}

#[tokio::test]
async fn a_page_is_whole_and_loads_nothing() {
    let server = start(Trouble::None).await;
    for path in ["/", "/incidents/checkout-1a2b3c4d"] {
        let page = server.get(path).await;
        assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for word in ["http://", "https://", " src=\"//", "style=\"", "onclick"] {
            let found =
                page.body.match_indices(word).map(|(at, _)| &page.body[at..(at + 60).min(page.body.len())]);
            // The address that a probe asks is shown, and nothing is loaded from it.
            let found: Vec<&str> =
                found.filter(|text| !text.starts_with("https://checkout.example.com/")).collect();
            assert!(found.is_empty(), "{path}: {found:?}");
        }
        assert!(page.body.contains("<main id=\"content\">") && page.body.ends_with("</html>"), "{path}");
    }
    assert_eq!(server.get("/incidents/nope").await.status, 404);
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_a_browser_and_json_for_a_program() {
    let server = start(Trouble::None).await;
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, host, accept, status, is_page) in [
        ("/incidents/nope", "localhost", browser, 404, true),
        ("/nope", "localhost", browser, 404, true),
        ("/", "elsewhere.example", browser, 421, true),
        ("/nope", "localhost", "Text/HTML ; Q=0.9", 404, true),
        ("/nope", "localhost", "text/html;q=0, */*", 404, false),
        ("/nope", "localhost", "text/html; q=0.000", 404, false),
        ("/nope", "localhost", "text/htmlx", 404, false),
        ("/incidents/nope", "localhost", "*/*", 404, false),
        ("/incidents/nope", "localhost", "application/json", 404, false),
        ("/api/v1/incidents/nope", "localhost", browser, 404, false),
        ("/", "elsewhere.example", "*/*", 421, false),
    ] {
        let asked =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
        let answer = server.say(&asked).await;
        assert_eq!(answer.status, status, "{asked}");
        if !is_page {
            assert!(answer.json()["error"]["message"].is_string(), "{asked}");
            continue;
        }
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8", "{asked}");
        assert!(!answer.headers["content-security-policy"].contains("unsafe"), "{asked}");
        let page = &answer.body;
        assert!(page.contains(&format!("<h2>{status} ")), "{page}");
        // Under a name that is not served there is nothing that a link could lead to.
        let links = page.matches("<a href=\"/").count();
        assert_eq!(links > 0, status != 421, "{page}");
        // Whoever reads it under a name that is not ours gets nothing to act with.
        assert!(
            !page.contains("<script") && !page.contains("id=\"token\"") && !page.contains("as of"),
            "{page}"
        );
    }
    let asked = "HEAD /nope HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\nconnection: close\r\n\r\n";
    let head = server.say(asked).await;
    assert_eq!((head.status, head.headers["content-type"].as_str()), (404, "text/html; charset=utf-8"));
    assert!(head.headers.contains_key("content-security-policy") && head.body.is_empty(), "{head:?}");
    let posted = "POST /nope HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\nconnection: close\r\n\r\n";
    assert!(server.say(posted).await.json()["error"].is_object());
}

#[tokio::test]
async fn what_may_be_ordered_is_offered_and_disabled_until_there_is_a_token() {
    let server = start(Trouble::None).await;
    *server.fake.state.lock().unwrap() = "held";
    let page = server.get("/").await.body.replace("&#x2f;", "/");
    for path in ["/api/v1/apps/checkout/pause", "/api/v1/apps/checkout/resume"] {
        let button = page.find(&format!("data-post=\"{path}\"")).unwrap_or_else(|| panic!("{path}: {page}"));
        let button = &page[button..page[button..].find('>').map(|end| button + end).unwrap()];
        assert!(button.ends_with("disabled"), "{button}");
    }
    let without = start(Trouble::NoToken).await.get("/").await.body;
    assert!(without.contains("admin_token_file") && !without.contains("id=\"token\""));
}

#[test]
fn text_from_elsewhere_is_text() {
    let page = TEMPLATES.get_template("index.html").expect("a template");
    let evil = "<img src=x onerror=alert(1)>\"'";
    let apps =
        vec![context! { name => evil, facts => vec![vec![evil, evil]], actions => Vec::<Value>::new() }];
    let made = page.render(context! { title => evil, apps, summary => evil, style => "", script => "" });
    let made = made.expect("a page");
    assert!(!made.contains("<img src=x"), "{made}");
    assert!(made.contains("&lt;img src=x onerror=alert(1)&gt;&quot;"), "{made}");
}

#[tokio::test]
async fn a_page_is_made_although_the_journal_is_silent() {
    let page = start(Trouble::JournalFails).await.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("The journal does not answer now."), "{}", page.body);
}

#[test]
fn the_question_before_a_rollback_says_who_picks_what_it_goes_back_to() {
    let rollback = |picked_by: &str, target: Option<&str>| crate::server::RollbackStatus {
        ready: true,
        reason: None,
        detail: None,
        beside: None,
        target_deployment: target.map(Into::into),
        target_title: None,
        picked_by: Some(picked_by.to_owned()),
        target_created_at: None,
        warnings: Vec::new(),
        checked_by: None,
        expected_seconds: None,
        asked_at: None,
    };
    let asked = |picked_by: &str, target| {
        let app =
            AppStatus { rollback: Some(rollback(picked_by, target)), ..crate::server::made::app("shop") };
        let actions = view::app(&app, jiff::Timestamp::UNIX_EPOCH).get_attr("actions").unwrap();
        let actions: Vec<Value> = actions.try_iter().unwrap().collect();
        let text = |action: &Value, key: &str| action.get_attr(key).unwrap().to_string();
        let order = actions.iter().find(|action| text(action, "label") == "Roll back").expect("a button");
        assert_eq!(text(order, "name"), "Roll back: shop", "its name says of which app");
        text(order, "question")
    };
    assert!(asked("rearguard", Some("d1")).starts_with("Roll shop back to d1 now?"));
    for target in [None, Some("d1")] {
        let question = asked("platform", target);
        assert!(question.contains("The platform picks what it goes back to"), "{question}");
        assert_eq!(
            question.contains("d1; if it is another one, it is held for you"),
            target.is_some(),
            "{question}"
        );
    }
}

#[tokio::test]
async fn an_incident_has_its_evidence_as_a_table() {
    let server = start(Trouble::None).await;
    let page = server.get("/incidents/checkout-1a2b3c4d").await.body;
    assert!(!page.contains("Evidence at the decision"), "nothing was recorded of this one");
    let (record, _, _) = crate::decision::told(crate::decision::Tale::Committed);
    let page = server.get(&format!("/incidents/{}", record.id)).await.body;
    let (_, table) = page.split_once("Evidence at the decision").expect("a table");
    let (table, _) = table.split_once("</table>").unwrap();
    for column in ["rule", "verdict", "value", "threshold", "samples", "window"] {
        assert!(table.contains(&format!("<th scope=\"col\">{column}</th>")), "{column}: {table}");
    }
    for cell in ["<th scope=\"row\">down</th>", "v-bad", "&gt;= 3", "in a row"] {
        assert!(table.contains(cell), "{cell}: {table}");
    }
}
