//! Names of users and groups, from the local files. Accounts of a directory service are known by
//! their numbers only.

use std::collections::HashMap;
use std::path::Path;

use ccrun_kernel::value::{Size, closest};
use ccrun_kernel::{Error, Result};

use crate::files::{Files, Work};

/// The users or the groups of this machine.
pub struct Accounts {
    what: &'static str,
    file: &'static str,
    by_id: HashMap<u32, String>,
}

impl Accounts {
    /// The users.
    pub fn users(files: &Files) -> Self {
        Self::load(files, "user", "/etc/passwd")
    }

    /// The groups.
    pub fn groups(files: &Files) -> Self {
        Self::load(files, "group", "/etc/group")
    }

    fn load(files: &Files, what: &'static str, file: &'static str) -> Self {
        let limit = Size::from_bytes(4 << 20);
        let bytes = files
            .read(&Work::default(), Path::new(file), limit)
            .unwrap_or_default();
        Self {
            what,
            file,
            by_id: parse(&String::from_utf8_lossy(&bytes)),
        }
    }

    /// The name for an id, or the id as text.
    pub fn name(&self, id: u32) -> String {
        self.by_id
            .get(&id)
            .cloned()
            .unwrap_or_else(|| id.to_string())
    }

    /// The id for a name or a number.
    pub fn id(&self, name: &str) -> Result<u32> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        if let Some((id, _)) = self.by_id.iter().find(|(_, known)| *known == name) {
            return Ok(*id);
        }
        let hint = match closest(name, self.by_id.values().map(String::as_str)) {
            Some(nearest) => format!("did you mean `{nearest}`? A number works as well"),
            None => "give its number instead (`id NAME` shows it)".to_owned(),
        };
        Err(Error::new(
            format!("fs.unknown_{}", self.what),
            format!("there is no {} `{name}` in {}", self.what, self.file),
        )
        .hint(hint))
    }
}

/// `name:password:id:…`, passwd(5) and group(5). The first entry of an id names it.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut by_id = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(id))) =
            (fields.next(), fields.next(), fields.next().map(str::parse))
        {
            by_id.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    by_id
}
