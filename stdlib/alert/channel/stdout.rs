//! Standard output.

use ccrun_kernel::Result;

use super::{Channel, Message, Receiver};
use crate::alert::model::Alert;

/// Standard output.
pub struct Stdout;

impl Channel for Stdout {
    fn message(&self, alert: &Alert, _to: &Receiver) -> Result<Option<Message>> {
        let mut text = alert.headline();
        if !alert.body.is_empty() {
            text.push('\n');
            text.push_str(&alert.body);
        }
        for (name, value) in alert.facts() {
            text.push_str(&format!("\n  {name}: {value}"));
        }
        Ok(Some(Message::Text(text)))
    }
}
