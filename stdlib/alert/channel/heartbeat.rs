//! A dead-man switch: a URL that wants to be asked regularly, and tells somebody when it is not. Healthchecks.io,
//! Better Stack and others; `/fail` behind it tells of a failure.

use ccrun_kernel::{MaybeSecret, Result};
use reqwest::Method;

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert};
use crate::alert::text::cut_bytes;
use crate::web::Address;

/// What such services keep of a body.
const BODY: usize = 10_000;

/// A dead-man switch.
pub struct Heartbeat;

impl Channel for Heartbeat {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let mut address = to.address()?;
        if alert.action == Action::Trigger {
            let place = to.place()?;
            let text = format!("{}/fail", place.expose().trim_end_matches('/'));
            let failing = ccrun_kernel::secret::Secret::new(place.name(), text);
            address = Address::read(MaybeSecret::Secret(failing))
                .map_err(|what| to.wrong(&what, "it begins with https://"))?;
        }
        let body = cut_bytes(&alert.body, BODY).into_bytes();
        to.request(Method::POST, address, "text/plain; charset=utf-8", body)
            .map(|request| Some(Message::Http(Box::new(request))))
    }
}
