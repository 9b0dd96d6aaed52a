//! Any other receiver, by HTTP. The body is the alert as JSON, or what a template makes of it.

use ccrun_kernel::Result;
use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::from_json;
use reqwest::Method;

use super::{Channel, Message, Receiver};
use crate::alert::model::Alert;
use crate::render::{Secrets, render};

/// A webhook.
pub struct Webhook;

impl Channel for Webhook {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let settings = &to.settings;
        let json = alert.to_json();
        let body = match &settings.template {
            None => json.to_string(),
            Some(template) => {
                let mut values = from_json(&json).try_cast::<Map>().unwrap_or_default();
                values.insert("headline".into(), alert.headline().into());
                values.insert("state".into(), alert.state().into());
                let link = alert.link.clone().unwrap_or_default();
                values.insert("link".into(), link.into());
                render(template, &values, Secrets::Refuse)?
            }
        };
        let method = settings.method.as_deref().unwrap_or("POST").to_uppercase();
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| to.wrong("`method` can't be one", "POST, PUT"))?;
        let content_type = settings.content_type.as_deref();
        to.request(
            method,
            to.address()?,
            content_type.unwrap_or("application/json"),
            body.into_bytes(),
        )
        .map(|request| Some(Message::Http(Box::new(request))))
    }
}
