//! Against a real Alertmanager and a real mail server.

use std::time::{Duration, Instant};

use ccrun_tests::docker::{Containers, docker};
use ccrun_tests::mail::{MailServer, PASSWORD, USER};
use serde_json::{Value, json};

use super::Bed;

struct Alertmanager {
    url: String,
    _containers: Containers,
}

impl Alertmanager {
    fn start() -> Self {
        let containers = Containers::new();
        let name = containers.run_image(
            "alertmanager",
            "ccrun-testbed/alertmanager",
            &["--publish", "127.0.0.1::9093", "--entrypoint", "sh"],
            &[
                "-c",
                "printf 'route: { receiver: nobody }\\nreceivers: [{ name: nobody }]\\n' >/am.yml && exec prometheus-alertmanager --config.file=/am.yml --storage.path=/tmp/am --cluster.listen-address=",
            ],
        );
        let url = format!("http://{}", containers.port(&name, 9093));
        let deadline = Instant::now() + Duration::from_secs(120);
        let ready = [
            "exec",
            name.as_str(),
            "wget",
            "-q",
            "-O",
            "-",
            "http://127.0.0.1:9093/-/ready",
        ];
        while !std::process::Command::new("docker")
            .args(ready)
            .output()
            .unwrap()
            .status
            .success()
        {
            assert!(Instant::now() < deadline, "{}", docker(&["logs", &name]));
        }
        Self {
            url,
            _containers: containers,
        }
    }

    fn get(&self, path: &str) -> Value {
        let script = format!(r#"http::get("{}{path}").json"#, self.url);
        let value = ccrun_kernel::testing::eval(vec![crate::http::namespace()], &script).unwrap();
        ccrun_kernel::value::to_json(&value)
    }
}

#[test]
fn alertmanager_knows_the_alert_until_it_is_resolved_and_takes_silences() {
    let manager = Alertmanager::start();
    let bed = Bed::new(&format!("am = \"alertmanager:{}\"", manager.url));
    let told = bed.json(
        r#"alert::trigger(#{ key: "backup", severity: "critical", title: "The backup failed 🚨", body: "no space left", labels: #{ "area/x": "db" }, link: "https://example.org/" }).channels[0]"#,
    );
    assert_eq!(
        (&told["outcome"], &told["status"]),
        (&json!("sent"), &json!(200)),
        "{told}"
    );
    let alerts = manager.get("/api/v2/alerts");
    assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!(
        alerts[0]["labels"],
        json!({ "alertname": "backup", "area_x": "db", "severity": "critical", "source": "local" })
    );
    assert_eq!(alerts[0]["annotations"]["summary"], "The backup failed 🚨");
    assert_eq!(alerts[0]["status"]["state"], "active");
    // The same key is the same alert.
    bed.json(r#"alert::trigger(#{ key: "backup", severity: "critical", title: "again", labels: #{ "area/x": "db" } })"#);
    assert_eq!(manager.get("/api/v2/alerts").as_array().unwrap().len(), 1);

    let id = bed.json(r#"alert::silence("back*", "1h", "moving", #{ on: ["am"], by: "ann" }).id"#);
    let silences = manager.get("/api/v2/silences");
    assert_eq!(silences[0]["comment"], "moving");
    assert_eq!(silences[0]["createdBy"], "ann");
    assert_eq!(
        silences[0]["matchers"][0],
        json!({ "name": "alertname", "value": "back.*", "isRegex": true, "isEqual": true })
    );
    let state = || manager.get("/api/v2/alerts")[0]["status"]["state"].clone();
    wait(|| state() == "suppressed");
    bed.json(&format!("alert::unsilence({id})"));
    assert_eq!(
        manager.get("/api/v2/silences")[0]["status"]["state"],
        "expired"
    );

    bed.json(r#"alert::resolve("backup", "12 GiB")"#);
    wait(|| manager.get("/api/v2/alerts") == json!([]));
}

/// Until something is so.
fn wait(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not become so");
    }
}

#[test]
fn mail_arrives_by_starttls_with_a_login_and_its_failures_are_told() {
    let server = MailServer::start();
    let toml = |password: &str| {
        format!(
            r#"
[target.local]
smtp = {{ host = "localhost", port = {}, user = "{USER}", password = "secret:{password}", from = "ccrun <ccrun@example.org>", ca = "ca.pem" }}
[target.local.alerts]
mail = {{ url = "mail:ops@example.org, Ann <ann@example.org>", retries = 0 }}
"#,
            server.submission.port()
        )
    };
    let bed = Bed::with(&toml("MAIL_PASSWORD"))
        .secret("MAIL_PASSWORD", PASSWORD)
        .secret("WRONG", "hunter22-wrong");
    std::fs::write(bed.folder.0.join("ca.pem"), &server.authority).unwrap();
    let told = bed.json(
        r#"let text = ""; for n in 0..5000 { text += "Zeile 漢字 🚨\n"; }
           alert::trigger(#{ key: "backup", severity: "critical", title: "Sicherung: Größe 0\r\nBcc: x@example.org", body: text, labels: #{ area: "db" } }).channels[0]"#,
    );
    assert_eq!(told["outcome"], "sent", "{told}");
    let mailbox = server.mailbox_with("X-Ccrun-Severity: critical");
    assert!(
        mailbox.contains("Auto-Submitted: auto-generated"),
        "{mailbox}"
    );
    assert!(!mailbox.contains("\nBcc:"), "{mailbox}");
    bed.json(r#"alert::resolve("backup", "12 GiB")"#);
    let mailbox = server.mailbox_with("X-Ccrun-Severity: resolved");
    let threads: Vec<&str> = mailbox
        .lines()
        .filter(|line| line.starts_with("References: "))
        .collect();
    assert!(
        threads.len() >= 2 && threads.iter().all(|one| one == &threads[0]),
        "{threads:?}"
    );

    std::fs::write(bed.folder.0.join("ccrun.toml"), toml("WRONG")).unwrap();
    let told = bed.json(r#"alert::trigger(#{ key: "other", title: "t" }).channels[0]"#);
    assert_eq!(told["error"]["kind"], "smtp.auth_failed", "{told}");
}
