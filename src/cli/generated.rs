//! `rearguard completions` and `rearguard man`: what is made out of the command line's own description.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Error};

const NAME: &str = "rearguard";
const VERSION: &str = env!("CARGO_PKG_VERSION");

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

/// A page with the sections that manual pages have, and without a date, so that it is the same whenever it is made.
/// clap_mangen puts what stands below the options under "EXTRA", and leaves the values of options out of the synopsis.
fn page(mut command: clap::Command) -> Result<String, Error> {
    let more = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let has_commands = command.has_subcommands();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let man = Man::new(command.clone().after_long_help(None::<&str>)).source(format!("{NAME} {VERSION}"));
    let man = man.manual("rearguard");
    let mut roff = Vec::new();
    let rendered = man
        .render_title(&mut roff)
        .and_then(|()| man.render_name_section(&mut roff))
        .and_then(|()| write!(roff, ".SH SYNOPSIS\n{}\n", escaped(usage)))
        .and_then(|()| man.render_description_section(&mut roff))
        .and_then(|()| man.render_options_section(&mut roff))
        .and_then(|()| if has_commands { man.render_subcommands_section(&mut roff) } else { Ok(()) })
        .and_then(|()| roff.write_all(sections(&more).as_bytes()))
        .and_then(|()| roff.write_all(common(&command).as_bytes()));
    rendered.map_err(|error| Error::Internal(format!("failed to render a manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

/// What `--help` says below the options, as sections: paragraphs, and lists that begin with what they are of.
fn sections(more: &str) -> String {
    let mut sections = String::new();
    let mut last = "";
    for paragraph in more.trim().split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let (heading, text, is_list) = match first {
            "Examples:" => ("EXAMPLES", rest, true),
            "Exit codes:" => ("EXIT STATUS", rest, true),
            _ => ("NOTES", paragraph, false),
        };
        let begin = if heading == last { ".PP\n".to_owned() } else { format!(".SH \"{heading}\"\n") };
        let text = escaped(text);
        sections.push_str(&if is_list {
            format!("{begin}.nf\n{text}\n.fi\n")
        } else {
            format!("{begin}{text}\n")
        });
        last = heading;
    }
    sections
}

/// Where the first page has all the numbers.
const EXIT_STATUS: &str = ".SH \"EXIT STATUS\"\nAs said in\n.BR rearguard (1).\n";

/// What the environment says, and, but for the first page, where the numbers are said that a command ends with.
fn common(command: &clap::Command) -> String {
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    for command in std::iter::once(command).chain(command.get_subcommands()) {
        for option in command.get_arguments() {
            let Some((name, long)) = option.get_env().zip(option.get_long()) else { continue };
            read.insert(name.to_string_lossy().into_owned(), format!("The same as \\-\\-{long}."));
            if long == "server" {
                let token = "The admin token itself, before any file of it.";
                read.insert("REARGUARD_ADMIN_TOKEN".to_owned(), token.to_owned());
            }
        }
    }
    let is_first = command.has_subcommands();
    if is_first {
        read.insert("NO_COLOR".to_owned(), "Nothing is coloured where it is set.".to_owned());
        read.insert("RUST_LOG".to_owned(), "What is logged where \\-\\-log\\-level does not say.".to_owned());
    }
    let environment: String = read.iter().map(|(name, what)| format!(".TP\n.B {name}\n{what}\n")).collect();
    let heading = if read.is_empty() { "" } else { ".SH ENVIRONMENT\n" };
    format!("{heading}{environment}{}", if is_first { "" } else { EXIT_STATUS })
}

/// Text that roff prints as it stands.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let text = line.replace('\\', "\\e").replace('-', "\\-");
        // These begin a request.
        if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
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
    fn what_is_printed_in_a_page_is_what_was_written() {
        assert_eq!(escaped("a-b \\ c\n.x\n'y"), "a\\-b \\e c\n\\&.x\n\\&'y");
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
            assert!(page.contains(".SH \"EXAMPLES\"\n.nf\n"), "{name}");
            assert!(!page.contains("EXTRA") && !page.contains("SUBCOMMANDS"), "{name}");
            assert!(!page.contains("Examples:"), "{name}");
        }
        let status = fs::read_to_string(folder.path().join("rearguard-status.1")).unwrap().replace('\\', "");
        for name in ["REARGUARD_CONFIG", "REARGUARD_SERVER", "REARGUARD_ADMIN_TOKEN"] {
            assert!(status.contains(&format!(".TP\n.B {name}\n")), "{status}");
        }
        assert!(!status.contains("REARGUARD_BY"), "nobody gives a word by it: {status}");
        assert!(status.ends_with(".SH \"EXIT STATUS\"\nAs said in\n.BR rearguard (1).\n"), "{status}");
        for name in ["REARGUARD_BY", "REARGUARD_CONFIG", "NO_COLOR", "RUST_LOG"] {
            assert!(first.contains(&format!(".TP\n.B {name}\n")), "{first}");
        }
        assert_eq!(first.matches("EXIT STATUS").count(), 1, "{first}");
        let pause = fs::read_to_string(folder.path().join("rearguard-pause.1")).unwrap().replace('\\', "");
        assert!(pause.contains("\nrearguard pause [OPTIONS] <APP|--all>\n"), "{pause}");
        assert!(pause.contains(".SH \"NOTES\"\nWhat was sent already is still followed."), "{pause}");
        assert!(first.contains(".SH \"EXIT STATUS\"\n.nf\n  0   done\n"), "{first}");
    }
}
