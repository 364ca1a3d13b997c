//! Mattermost's own rules on accounts: valid names, cleaned names, what is unique
//! (`server/public/model/user.go`, `server/channels/app/user.go`, `oauth.go`).

use serde_json::Value;

use super::{Server, User};

const RESERVED: [&str; 17] = [
    "admin",
    "api",
    "channel",
    "claim",
    "error",
    "files",
    "help",
    "landing",
    "login",
    "mfa",
    "oauth",
    "plug",
    "plugins",
    "post",
    "signup",
    "boards",
    "playbooks",
];
const RESTRICTED: [&str; 4] = ["all", "channel", "matterbot", "system"];

/// `IsValidUsername`.
pub(super) fn is_valid_username(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
        && !RESTRICTED.contains(&name)
        && !RESERVED.contains(&name)
}

/// `CleanUsername`; a name that stays invalid becomes a random one.
fn clean_username(name: &str) -> String {
    let mut cleaned = name.to_lowercase().trim().replace(' ', "-");
    for reserved in RESERVED {
        if cleaned == reserved {
            cleaned.clear();
        }
    }
    let cleaned: String = cleaned
        .chars()
        .map(|c| {
            let valid = c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
            if valid { c } else { '-' }
        })
        .collect();
    let cleaned = cleaned.trim_matches('-').to_owned();
    if is_valid_username(&cleaned) { cleaned } else { "arandomnameofmattermost12".to_owned() }
}

/// A person as `gitlab.go` reads the answer of the user endpoint.
pub(super) fn user_of_gitlab(body: &Value) -> Result<User, &'static str> {
    const PARSE: &str = "Could not parse auth data out of gitlab user object";
    // Go's int64: a number without a fraction. 0 counts as missing.
    let id = body.get("id").and_then(Value::as_i64).filter(|id| *id != 0).ok_or(PARSE)?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let email = text("email").to_lowercase();
    if email.is_empty() || email.len() > 128 {
        return Err(PARSE);
    }
    let username = if text("username").is_empty() { text("login") } else { text("username") };
    let mut words = text("name").split(' ');
    let first_name = words.next().unwrap_or_default().to_owned();
    let last_name = words.collect::<Vec<_>>().join(" ");
    if first_name.chars().count() > 64 || last_name.chars().count() > 64 {
        return Err("name too long");
    }
    Ok(User {
        username: clean_username(username),
        email,
        email_verified: true,
        auth_service: "gitlab".to_owned(),
        auth_data: Some(id.to_string()),
        first_name,
        last_name,
        roles: "system_user".to_owned(),
        ..User::default()
    })
}

impl Server {
    /// Why an account may not be written; its own row does not count.
    pub(super) fn check_unique(&self, user: &User) -> Result<(), &'static str> {
        for other in self.users.values().filter(|other| other.id != user.id) {
            if user.auth_data.is_some() && other.auth_data == user.auth_data {
                return Err("app.user.save.app_error");
            }
            if other.email == user.email {
                return Err("app.user.save.email_exists.app_error");
            }
            if other.username == user.username {
                return Err("app.user.save.username_exists.app_error");
            }
        }
        Ok(())
    }

    /// `CompleteOAuth`: the account of a known number is brought up to date and switched on, a new
    /// one is made; an address that somebody has is refused. Gives its id.
    pub(super) fn admit(&mut self, gitlab: User) -> Result<String, &'static str> {
        let known = self
            .users
            .values()
            .find(|user| user.auth_service == "gitlab" && user.auth_data == gitlab.auth_data);
        if let Some(id) = known.map(|user| user.id.clone()) {
            let name_is_free = !self.is_taken(&id, |user| user.username == gitlab.username);
            let email_is_free = !self.is_taken(&id, |user| user.email == gitlab.email);
            if let Some(user) = self.users.get_mut(&id) {
                if name_is_free {
                    user.username = gitlab.username;
                }
                if email_is_free {
                    user.email = gitlab.email;
                }
                (user.first_name, user.last_name) = (gitlab.first_name, gitlab.last_name);
                user.delete_at = 0;
            }
            return Ok(id);
        }
        if self.users.values().any(|user| user.email == gitlab.email) {
            return Err("There is already an account associated with that email address using a \
                        sign in method other than gitlab");
        }
        let mut user = User { id: self.new_id(), ..gitlab };
        for digit in 0.. {
            if !self.users.values().any(|other| other.username == user.username) {
                break;
            }
            user.username = format!("{}{digit}", user.username);
        }
        let id = user.id.clone();
        self.users.insert(id.clone(), user);
        Ok(id)
    }

    fn is_taken(&self, id: &str, same: impl Fn(&User) -> bool) -> bool {
        self.users.values().any(|user| user.id != id && same(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_measured() {
        for (name, expected) in [
            ("a b", "a-b"),
            ("UPPER", "upper"),
            ("a@b.c", "a-b.c"),
            ("Bob Ünder", "bob--nder"),
            ("all", "arandomnameofmattermost12"),
            ("ü", "arandomnameofmattermost12"),
            ("admin", "arandomnameofmattermost12"),
        ] {
            assert_eq!(clean_username(name), expected, "{name:?}");
        }
    }

    #[test]
    fn ids_are_numbers() {
        let read = |id: Value| {
            user_of_gitlab(&serde_json::json!({ "id": id, "email": "a@b.c", "username": "a" }))
        };
        assert!(read(1001.into()).is_ok());
        for bad in [Value::from("1001"), 0.into(), 1.5.into(), (1_u64 << 63).into()] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
