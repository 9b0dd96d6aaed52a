//! `ccrun completions`.

use std::ffi::OsString;

use ccrun_kernel::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::app::App;
use crate::cli::Cli;

/// Print the completion script for a shell.
pub fn completions(shell: Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ccrun", &mut script);
    let script = String::from_utf8_lossy(&script);
    let runbooks = match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        _ => "",
    };
    crate::render::result(&format!("{}\n{runbooks}", script.trim_end()));
    Ok(0)
}

/// Print what may come next: the scripts ask, because runbooks and their parameters are not known beforehand.
pub fn words(app: &App, typed: &[OsString]) -> Result<u8> {
    for word in crate::runbook_options::candidates(app, typed) {
        crate::render::result(&word);
    }
    Ok(0)
}

/// Adds runbooks and their parameters to what clap's script knows.
const BASH: &str = r#"
_ccrun_runbooks() {
    _ccrun "$@"
    local typed=("${COMP_WORDS[@]:1:COMP_CWORD-1}") current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY+=($(compgen -W "$(ccrun words -- "${typed[@]}" 2>/dev/null)" -- "$current"))
}
complete -F _ccrun_runbooks -o nosort -o bashdefault -o default ccrun 2>/dev/null ||
    complete -F _ccrun_runbooks -o bashdefault -o default ccrun"#;

const ZSH: &str = r#"
_ccrun_runbooks() {
    local -a found
    found=(${(f)"$(ccrun words -- ${words[2,CURRENT-1]} 2>/dev/null)"})
    (( $#found )) && compadd -- $found
    _ccrun "$@"
}
compdef _ccrun_runbooks ccrun"#;

const FISH: &str = r#"
function __ccrun_words
    set -l typed (commandline -opc)
    ccrun words -- $typed[2..-1] 2>/dev/null
end
complete -c ccrun -f -a "(__ccrun_words)""#;
