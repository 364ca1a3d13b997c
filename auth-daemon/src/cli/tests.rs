//! Every command of the contract is understood, and only as it is written there.

use std::ffi::OsString;

use clap::CommandFactory as _;

use super::Cli;
use crate::exit::Exit;

fn parse(line: &str) -> Result<Cli, Exit> {
    let words = std::iter::once("auth-daemon").chain(line.split_whitespace());
    Cli::from_arguments(words.map(OsString::from))
}

#[test]
fn definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn commands_of_the_contract() {
    for line in [
        "serve",
        "--config x.toml serve",
        "serve --config x.toml",
        "config init",
        "config init x.toml --force",
        "config check",
        "config check --offline --json",
        "config schema",
        "sync plan --directory corp --json",
        "sync run --directory corp --full --dry-run --json",
        "sync run --directory corp --incremental --override-brake",
        "sync plan --directory corp --incremental",
        "sync status --directory corp",
        "sync history --directory corp --json",
        "ldap test --directory corp",
        "ldap test --directory corp --user alice --password-stdin --json",
        "ldap migrate-id --directory corp --to entryUUID --dry-run",
        "ldap migrate-id --directory corp --to entryUUID --undo back.json --json",
        "ldap migrate-id --directory corp --undo-from back.json --dry-run",
        "saml metadata --connection okta",
        "saml import --connection okta idp.xml --dry-run --json",
        "saml rotate-key --connection okta --json",
        "saml rotate-key --connection okta --retire abc --dry-run",
        "saml inspect --connection okta --at 2026-01-01T00:00:00Z --in-response-to _1 r.xml --json",
        "saml approve-keys --connection okta --dry-run",
        "saml setup --connection okta",
        "user list --json",
        "user show alice --json",
        "user create alice --email a@example.com --role guest --password-stdin --json",
        "user disable alice --dry-run",
        "user enable alice",
        "user set-password alice --password-stdin",
        "user reset-mfa alice --dry-run",
        "user link alice --connector corp --subject x",
        "user unlink alice --connector corp --subject x --dry-run",
        "user migrate --from local --to corp --match email --dry-run",
        "user migrate --from local --to okta --match id --to-subjects s.csv --undo-file u.json --json",
        "user migrate --undo u.json --dry-run",
        "user merge alice alice2 --dry-run --json",
        "user import users.json --dry-run",
        "user export --json",
        "session list --json",
        "session list --user alice",
        "session revoke --user alice --dry-run",
        "session revoke --all",
        "session revoke 0198",
        "client list --json",
        "client show chat --json",
        "client add chat --redirect-uri https://chat.example.com/cb --json",
        "client rotate-secret chat --json",
        "client remove chat --dry-run",
        "client check --client chat --json",
        "client adopt --client chat --plan p.json --include root --accept-unverified",
        "client adopt --client chat --apply p.json --dry-run",
        "client deliveries --json",
        "client deliveries --client chat --retry",
        "user create alice --numeric-id 7",
        "user export --format mattermost --client chat",
        "claims preview --user alice --client chat",
        "key list --json",
        "key rotate --reseal --dry-run",
        "key retire k1 --dry-run",
        "token list --json",
        "token create --scope read --scope users --json",
        "token revoke t1",
        "audit tail --json",
        "audit tail -n 5 --follow",
        "audit export --json",
        "audit verify",
        "backup b.db",
        "restore b.db",
        "console",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    for line in [
        "",
        "frobnicate",
        "config",
        "serve --json",
        "user show",
        "sync run --directory corp --full --incremental",
        "session revoke",
        "session revoke --user alice --all",
        "ldap test",
        "ldap test --directory corp --password-stdin",
        "ldap migrate-id --directory corp",
        "ldap migrate-id --directory corp --to entryUUID --undo-from back.json",
        "token create",
        "client adopt --client chat",
        "user migrate --from local --to corp",
        "user migrate --undo u.json --from local --to corp --match email",
        "user migrate --dry-run",
    ] {
        assert_eq!(parse(line).expect_err(line), Exit::Usage, "{line}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["--help", "--version", "config --help", "user create -h"] {
        assert_eq!(parse(line).expect_err(line), Exit::Done, "{line}");
    }
}
