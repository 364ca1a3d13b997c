//! `user export --format mattermost` and `user import`: accounts as lines of Mattermost's bulk
//! import, one JSON object a line, the version first.
//!
//! An import is checked as a whole before anything is made: a wrong line, or one that contradicts
//! the store, is reported by its number and nothing is made. A line whose account is there already
//! is no contradiction, so an import may be repeated.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use auth_core::account::{email_key, normalise};
use auth_core::broker::accounts::{HIGHEST_CHOSEN_NUMBER, NewLocalAccount};
use auth_core::handoff::gitlab::{Person, username};
use auth_core::handoff::mattermost::{AUTH_SERVICE, SYSTEM_ADMIN, locale};
use auth_core::store::AccountRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::exit::Exit;
use crate::mattermost::adoption::accounts;
use crate::output;

/// No import file is longer.
const LONGEST: u64 = 512 * 1024 * 1024;
/// The role of guests there.
const SYSTEM_GUEST: &str = "system_guest";

/// `user export --format mattermost [--client ID]`.
pub(super) async fn export(context: &Context, client: Option<&str>) -> anyhow::Result<Exit> {
    let store = context.broker.store();
    let all = accounts(store.as_ref()).await?;
    let mut names = BTreeSet::new();
    let mut left_out = 0;
    output::line(&json!({ "type": "version", "version": 1 }).to_string());
    for account in &all {
        let person = match Person::of(account) {
            Ok(person) => person,
            Err(problem) => {
                output::message(&format!("{}: left out: {}", account.username, problem.as_str()));
                left_out += 1;
                continue;
            }
        };
        let name = match client {
            Some(client) => Some(context.provider.client_username(client, account).await?),
            None => username::candidates(&account.username, account.numeric_id)
                .into_iter()
                .find(|name| !names.contains(name)),
        };
        let Some(name) = name else {
            output::message(&format!("{}: left out: no user name is free", account.username));
            left_out += 1;
            continue;
        };
        output::line(&line(&person, &name).to_string());
        names.insert(name);
    }
    output::message(&format!("{} accounts written, {left_out} left out", all.len() - left_out));
    Ok(if left_out == 0 { Exit::Done } else { Exit::Findings })
}

fn line(person: &Person<'_>, name: &str) -> Value {
    let account = person.account();
    let has = |role: &str| account.roles.iter().any(|one| one == role);
    let roles = if has("administrator") {
        format!("system_user {SYSTEM_ADMIN}")
    } else if has("guest") {
        SYSTEM_GUEST.to_owned()
    } else {
        "system_user".to_owned()
    };
    let mut user = json!({
        "username": name,
        "email": person.email(),
        "auth_service": AUTH_SERVICE,
        "auth_data": account.numeric_id.to_string(),
        "roles": roles,
    });
    if let Some(members) = user.as_object_mut() {
        let locale = account.locale.as_deref().and_then(locale).map(str::to_owned);
        for (key, value) in [
            ("nickname", account.nickname.clone()),
            ("first_name", account.first_name.clone()),
            ("last_name", account.last_name.clone()),
            ("position", account.position.clone()),
            ("locale", locale),
        ] {
            if let Some(value) = value {
                members.insert(key.to_owned(), value.into());
            }
        }
        if !account.active {
            members.insert("delete_at".to_owned(), account.updated_at.millis().into());
        }
    }
    json!({ "type": "user", "user": user })
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    version: Option<i64>,
    #[serde(default)]
    user: Option<User>,
}

/// A user's line; what else Mattermost puts there (teams, notifications) is passed over.
/// `connector` and `subject` are ours: the identity at a directory that the account is made for.
#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    auth_service: Option<String>,
    #[serde(default)]
    auth_data: Option<String>,
    #[serde(default)]
    nickname: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
    #[serde(default)]
    position: Option<String>,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    roles: Option<String>,
    #[serde(default)]
    delete_at: Option<i64>,
    #[serde(default)]
    connector: Option<String>,
    #[serde(default)]
    subject: Option<String>,
}

/// What a line comes to.
enum Fate {
    Make(Box<NewLocalAccount>),
    There,
}

/// `user import FILE`.
pub(super) async fn import(
    context: &Context,
    file: &Path,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let text = read(file)?;
    let known = Known::new(accounts(context.broker.store().as_ref()).await?);
    let mut problems: Vec<(usize, String)> = Vec::new();
    let mut make: Vec<(usize, NewLocalAccount)> = Vec::new();
    let mut there = 0;
    let mut seen = Seen::default();
    for (number, line) in (1..).zip(text.lines()) {
        match judge(number, line, &known, &mut seen, context).await {
            Ok(None) => {}
            Ok(Some(Fate::There)) => there += 1,
            Ok(Some(Fate::Make(new))) => make.push((number, *new)),
            Err(problem) => problems.push((number, problem)),
        }
    }
    if text.trim().is_empty() {
        problems.push((1, "the file is empty".to_owned()));
    }
    let wanted = make.len();
    let mut made = 0;
    if problems.is_empty() && !dry_run {
        for (number, new) in make {
            let done = context
                .broker
                .create_local_account(new, &context.password_rules, &context.origin)
                .await;
            match done {
                Ok(_) => made += 1,
                Err(error) => {
                    problems.push((number, error.to_string()));
                    break;
                }
            }
        }
    }
    for (number, problem) in &problems {
        output::message(&format!("{}:{number}: {problem}", file.display()));
    }
    if as_json {
        let errors: Vec<Value> = problems
            .iter()
            .map(|(line, problem)| json!({ "line": line, "problem": problem }))
            .collect();
        output::json(&json!({
            "created": made, "would_create": wanted, "unchanged": there, "errors": errors,
        }));
    }
    let would = if dry_run { format!("{wanted} would be made") } else { format!("{made} made") };
    output::message(&format!("{would}, {there} there already, {} wrong lines", problems.len()));
    if !problems.is_empty() && made == 0 {
        output::message("nothing was changed: mend the lines and run it again");
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Findings })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let named = || format!("{}: cannot be read as text", file.display());
    if file == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_string(&mut text).with_context(named)?;
    } else {
        let input = std::fs::File::open(file).with_context(named)?;
        input.take(LONGEST).read_to_string(&mut text).with_context(named)?;
    }
    Ok(text)
}

/// The store's accounts, ready to be asked.
struct Known {
    accounts: Vec<AccountRecord>,
    by_name: HashMap<String, usize>,
    by_email: HashMap<String, usize>,
    by_number: HashMap<i64, usize>,
}

impl Known {
    fn new(accounts: Vec<AccountRecord>) -> Self {
        let numbered = || accounts.iter().enumerate();
        let by_email = numbered().filter_map(|(n, one)| Some((one.email_key.clone()?, n)));
        Self {
            by_name: numbered().map(|(n, one)| (one.username_key.clone(), n)).collect(),
            by_email: by_email.collect(),
            by_number: numbered().map(|(n, one)| (one.numeric_id, n)).collect(),
            accounts,
        }
    }

    fn name_of(&self, index: usize) -> &str {
        self.accounts.get(index).map_or("", |account| &account.username)
    }
}

/// What earlier lines of the file named, with the numbers of those lines.
#[derive(Default)]
struct Seen {
    names: HashMap<String, usize>,
    emails: HashMap<String, usize>,
    numbers: HashMap<i64, usize>,
}

async fn judge(
    number: usize,
    line: &str,
    known: &Known,
    seen: &mut Seen,
    context: &Context,
) -> Result<Option<Fate>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let line: Line =
        serde_json::from_str(line).map_err(|error| format!("is no such line: {error}"))?;
    match (line.kind.as_str(), number) {
        ("version", 1) if line.version == Some(1) => return Ok(None),
        ("version", 1) => return Err("is of a version other than 1".to_owned()),
        ("version", _) => return Err("the version stands in the first line only".to_owned()),
        (_, 1) => {
            return Err("the first line must be {\"type\":\"version\",\"version\":1}".to_owned());
        }
        ("user", _) => {}
        // Teams, channels and posts are not ours.
        _ => return Ok(None),
    }
    let user = line.user.ok_or("has no `user`")?;
    let new = new_account(&user)?;
    let name = normalise(&new.username);
    let email = new.email.as_deref().and_then(email_key);
    if let Some(earlier) = seen.names.insert(name.clone(), number) {
        return Err(format!("username {:?} stands in line {earlier} too", new.username));
    }
    if let Some(email) = &email
        && let Some(earlier) = seen.emails.insert(email.clone(), number)
    {
        return Err(format!("email {email:?} stands in line {earlier} too"));
    }
    if let Some(numeric_id) = new.numeric_id
        && let Some(earlier) = seen.numbers.insert(numeric_id, number)
    {
        return Err(format!("auth_data {numeric_id} stands in line {earlier} too"));
    }
    let by_name = known.by_name.get(&name).copied();
    let by_email = email.as_ref().and_then(|email| known.by_email.get(email)).copied();
    let by_number = new.numeric_id.and_then(|id| known.by_number.get(&id)).copied();
    let found: BTreeSet<usize> = [by_name, by_email, by_number].into_iter().flatten().collect();
    match found.iter().copied().collect::<Vec<_>>().as_slice() {
        [] => {
            check_identity(&new, context).await?;
            Ok(Some(Fate::Make(Box::new(new))))
        }
        [one] => {
            let account = known.accounts.get(*one).ok_or("an account is not there")?;
            if by_name.is_none() || (email.is_some() && by_email.is_none()) {
                return Err(format!(
                    "part of it belongs to account {:?}, but not the user name and the address",
                    account.username
                ));
            }
            match new.numeric_id {
                Some(wanted) if wanted != account.numeric_id => Err(format!(
                    "account {:?} is there with the number {}, not {wanted}",
                    account.username, account.numeric_id
                )),
                _ => Ok(Some(Fate::There)),
            }
        }
        several => {
            let names: Vec<&str> = several.iter().map(|index| known.name_of(*index)).collect();
            Err(format!("parts of it belong to different accounts: {}", names.join(", ")))
        }
    }
}

fn new_account(user: &User) -> Result<NewLocalAccount, String> {
    auth_core::account::validate_username(&user.username)
        .map_err(|error| format!("username {error}"))?;
    if email_key(&user.email).is_none() {
        return Err("email is no plain address of the form name@domain".to_owned());
    }
    let service = user.auth_service.as_deref().unwrap_or_default();
    let numeric_id = match (service, user.auth_data.as_deref()) {
        (AUTH_SERVICE, Some(data)) => Some(
            data.parse::<i64>()
                .ok()
                .filter(|number| (1..=HIGHEST_CHOSEN_NUMBER).contains(number))
                .ok_or("auth_data is no number from 1 to 4503599627370496")?,
        ),
        (AUTH_SERVICE, None) => {
            return Err("auth_service is gitlab, but auth_data is missing".to_owned());
        }
        // How they signed in elsewhere does not matter here.
        _ => None,
    };
    let identity = match (&user.connector, &user.subject) {
        (Some(connector), Some(subject)) if !connector.is_empty() && !subject.is_empty() => {
            Some((connector.clone(), subject.clone()))
        }
        (None, None) => None,
        _ => return Err("connector and subject must both be given and not empty".to_owned()),
    };
    let roles = user.roles.as_deref().unwrap_or_default();
    let has = |role| roles.split(' ').any(|one| one == role);
    let role = if has(SYSTEM_ADMIN) {
        "administrator"
    } else if has(SYSTEM_GUEST) {
        "guest"
    } else {
        "member"
    };
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(NewLocalAccount {
        username: user.username.clone(),
        email: Some(user.email.clone()),
        first_name: text(&user.first_name),
        last_name: text(&user.last_name),
        nickname: text(&user.nickname),
        position: text(&user.position),
        locale: text(&user.locale),
        roles: vec![role.to_owned()],
        groups: Vec::new(),
        password: None,
        numeric_id,
        inactive: user.delete_at.unwrap_or(0) > 0,
        identity,
    })
}

async fn check_identity(new: &NewLocalAccount, context: &Context) -> Result<(), String> {
    let Some((connector, subject)) = &new.identity else { return Ok(()) };
    let choices = context.broker.connectors().choices();
    if !choices.iter().any(|choice| choice.id == *connector) {
        return Err(format!("there is no connector {connector:?}"));
    }
    let held = context.broker.store().account_by_identity(connector, subject).await;
    match held.map_err(|error| error.to_string())? {
        None => Ok(()),
        Some(account) => Err(format!("subject {subject:?} is account {:?}'s", account.username)),
    }
}
