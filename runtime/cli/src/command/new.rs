//! `ccrun new`.

use std::path::PathBuf;

use ccrun_kernel::{Error, Result};

use crate::app::App;
use crate::render;

/// Write the beginning of a new runbook.
pub fn new(app: &App, name: &str) -> Result<u8> {
    let mut path = PathBuf::from(name);
    if path.extension().is_none() {
        path.set_extension("rhai");
    }
    if path.components().count() == 1
        && let Some(folder) = app.runbook_path().first().filter(|folder| folder.is_dir())
    {
        path = folder.join(path);
    }
    if path.exists() {
        return Err(
            Error::new("usage", format!("{} is there already", path.display()))
                .hint("choose another name"),
        );
    }
    let title = path
        .file_stem()
        .map(|s| s.to_string_lossy().replace(['-', '_'], " "));
    let title = title.unwrap_or_default();
    std::fs::write(&path, template(&title))
        .map_err(|error| Error::from(error).detail("path", path.display().to_string()))?;
    render::result(&path.display().to_string());
    let shown = path.display();
    render::remark(&format!(
        "next: `ccrun check {shown}`, `ccrun --dry-run {shown}`, `ccrun {shown}`"
    ));
    Ok(0)
}

fn template(title: &str) -> String {
    format!(
        r#"//! {title}: say in one sentence what this runbook does.

runbook(#{{
    params: #{{
        name: #{{ type: "string", default: "world", help: "Whom to greet" }},
    }},
    // What it may touch; `ccrun run --record-needs` prints the least that it took.
    needs: #{{}},
}});

let greeting = step("Greet", || `Hello, ${{params.name}}`);

print(greeting);
"#
    )
}
