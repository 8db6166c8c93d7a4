//! Signatures of calls, held against the Standard Webhooks scheme's own libraries for Python and Node, as
//! `docs/reference/webhooks.md` uses them.

use deltaic::receive::server::{ReceiveOptions, WebhookReceiver};
use serde_json::{Value, json};

use super::{order, start, webhook, write};
use crate::program::{NodeScript, Python, block, project};

/// The libraries, from PyPI and npm.
const PYTHON: &str = "standardwebhooks==1.1.0";
const NODE: &str = "standardwebhooks@1.1.1";

/// Asks what the page has for Python about calls, a line of JSON each: `[secret, headers, body]`.
const IN_PYTHON: &str = r#"
import json, sys
for line in open(sys.argv[1]):
    print("yes" if is_ours(*json.loads(line)) else "no")
"#;

/// The same for Node.
const IN_NODE: &str = r#"
for (const line of require("fs").readFileSync(process.argv[2], "utf8").trim().split("\n")) {
  console.log(isOurs(...JSON.parse(line)) ? "yes" : "no");
}
"#;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the libraries are asked, and what they are to answer.
fn questions(headers: &Value, body: &str) -> Vec<(Value, &'static str)> {
    let with = |name: &str, value: &str| {
        let mut headers = headers.clone();
        headers[name] = value.into();
        headers
    };
    let made: u64 = headers["webhook-timestamp"].as_str().unwrap().parse().unwrap();
    let first = headers["webhook-signature"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    // A secret that is no base64 of the scheme is the key itself.
    let plain = "plain-text-secret";
    vec![
        (json!([SECRET, headers, body]), "yes"),
        (json!([plain, headers, body]), "yes"),
        // Secrets are in the order of their names.
        (json!([SECRET, with("webhook-signature", &first), body]), "yes"),
        (json!([plain, with("webhook-signature", &first), body]), "no"),
        (json!([SECRET, headers, body.replace("user_id:u1", "user_id:u2")]), "no"),
        (json!([SECRET, with("webhook-id", "another"), body]), "no"),
        (json!([SECRET, with("webhook-timestamp", &(made + 1).to_string()), body]), "no"),
        (json!(["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", headers, body]), "no"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_the_scheme_verify_what_is_sent() {
    let receiver = WebhookReceiver::start(ReceiveOptions::default()).await.unwrap();
    let folder = project("");
    let secrets = format!("secret = {{ old = \"plain-text-secret\", new = \"{SECRET}\" }}");
    write(folder.path(), &[webhook("crm", &receiver.url(), &secrets)]);
    let server = start(&folder).await;
    order(&server, [1]).await;
    receiver.until_calls(1).await;
    let call = receiver.calls().remove(0);
    let text = |name: &str| call.headers[name].to_str().unwrap().to_owned();
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.into_iter().map(|name| (name.to_owned(), Value::from(text(name)))).collect();
    let (asked, expected): (Vec<Value>, Vec<&str>) =
        questions(&headers, std::str::from_utf8(&call.body).unwrap()).into_iter().unzip();
    let file = folder.path().join("calls");
    std::fs::write(&file, asked.iter().map(|question| format!("{question}\n")).collect::<String>()).unwrap();
    let file = file.to_str().unwrap();

    tokio::task::block_in_place(|| {
        let page = |name| block("docs/reference/webhooks.md", name);
        let script = folder.path().join("verify.js");
        std::fs::write(&script, page("verify-in-node") + IN_NODE).unwrap();
        let node = NodeScript::with(&[NODE]).start(&script, &[file]);
        expected.iter().for_each(|answer| node.expect(answer));
        node.end();
        let python = Python::with(PYTHON).expect("there is no python3; .ci/run installs it");
        assert_eq!(python.run(&(page("verify") + IN_PYTHON), &[file]).lines().collect::<Vec<_>>(), expected);
    });
}
