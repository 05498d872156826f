//! `rearguard completions` and `rearguard man`: what is made out of the command line's own description.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Error};

const NAME: &str = "rearguard";

/// A script for that shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page; with a directory, one page a command there, and their names.
pub(super) fn man(to: Option<&Path>) -> Result<String, Error> {
    let mut cli = Cli::command();
    let Some(folder) = to else { return page(cli) };
    // Pages of commands are called after their parent, which only a built one knows.
    cli.build();
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut written = String::new();
    let commands: Vec<_> = cli.get_subcommands().cloned().collect();
    let named = commands.into_iter().map(|command| {
        let name = format!("{NAME}-{}", command.get_name());
        (name.clone(), command.display_name(name))
    });
    for (name, command) in std::iter::once((NAME.to_owned(), cli.clone())).chain(named) {
        let path = folder.join(format!("{name}.1"));
        fs::write(&path, page(command)?).map_err(|error| failed(&path, &error))?;
        written.push_str(&format!("{}\n", path.display()));
    }
    Ok(written)
}

fn page(command: clap::Command) -> Result<String, Error> {
    let mut roff = Vec::new();
    let rendered = Man::new(command).render(&mut roff);
    rendered.map_err(|error| Error::Internal(format!("failed to render a manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = completions(shell);
            for name in names() {
                assert!(script.contains(&name), "{shell}: {name}");
            }
            assert!(script.contains("--markdown") || script.contains("-l markdown"), "{shell}");
        }
    }

    #[test]
    fn every_command_has_a_page_and_the_first_one_names_them_all_and_the_exit_codes() {
        let first = man(None).unwrap().replace('\\', "");
        for name in names() {
            assert!(first.contains(&format!("rearguard-{name}(1)")), "{name}");
        }
        for code in ["64", "70", "78"] {
            assert!(first.contains(code), "{code}");
        }
        let folder = tempfile::tempdir().unwrap();
        let written = man(Some(folder.path())).unwrap();
        assert_eq!(written.lines().count(), names().len() + 1);
        for name in names() {
            let page = fs::read_to_string(folder.path().join(format!("rearguard-{name}.1"))).unwrap();
            let page = page.replace('\\', "");
            assert!(page.contains(".TH") && page.contains(&format!("rearguard {name}")), "{page}");
            assert!(page.contains("Examples:"), "{name}");
        }
    }
}
