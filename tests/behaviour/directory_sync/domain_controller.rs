//! The whole cycle with a real Active Directory domain controller (Samba): who changed is found by
//! its DirSync control.

use auth_tests::harness::in_ci;
use auth_tests::harness::samba::SambaAd;

use super::*;

const CROWD: [&str; 6] = ["crowd1", "crowd2", "crowd3", "crowd4", "crowd5", "crowd6"];

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_domain_come_change_leave_and_come_back() -> Result<()> {
    if let Some(missing) = SambaAd::missing() {
        ensure!(!in_ci(), "{missing}");
        eprintln!("skipped: {missing}");
        return Ok(());
    }
    let server = SambaAd::start()?;
    let base = server.base_dn();
    let daemon = site::start(site::daemon().toml(&format!(
        "[[directory]]\nid = \"corp\"\npreset = \"active-directory\"\nservers = [\"{}\"]\n\
         base_dn = \"{base}\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\nca_file = \"{}\"\n",
        server.ldaps_url(),
        server.bind_dn(),
        server.bind_password(),
        server.ca_file().display(),
    )))
    .await?;
    let change = |name: &str, change: &str| {
        server.modify(&format!("dn: CN={name},CN=Users,{base}\n{change}\n\n"))
    };
    for name in CROWD {
        // 512: an ordinary account; 32: it needs no password.
        let entry = "objectClass: user\nuserAccountControl: 544";
        change(name, &format!("changetype: add\n{entry}\nsAMAccountName: {name}"))?;
    }
    let planned = plan(&daemon, 0).await?;
    let done = run(&daemon, 0).await?;
    ensure!(planned["counts"] == done["counts"], "{planned:#} {done:#}");
    // Disabled ones and those whose end has come get no account.
    let names: Vec<String> = accounts(&daemon).await?.into_iter().map(|(name, _)| name).collect();
    let mut expected = CROWD.to_vec();
    expected.extend(["Administrator", "alice", "bob", "carol", "dns-dc1", "hours"]);
    expected.extend(["mustchange", "wkst"]);
    expected.sort_unstable();
    ensure!(names == expected, "{names:?}");

    let incremental = || sync(&daemon, &["run", "--incremental"], 0);
    let quiet = incremental().await?;
    ensure!(quiet["kind"] == "incremental" && quiet["applied"] == 0, "{quiet:#}");

    change("alice", "changetype: modify\nreplace: givenName\ngivenName: Alicia")?;
    change("bob", "changetype: modify\nreplace: userAccountControl\nuserAccountControl: 514")?;
    change("crowd1", "changetype: delete")?;
    let done = incremental().await?;
    ensure!(done["kind"] == "incremental", "{done:#}");
    ensure_counts(&done, &[("update", 1), ("deactivate", 2), ("conflict", 0)])?;
    ensure!(user(&daemon, "alice").await?["first_name"] == "Alicia");
    let bob = user(&daemon, "bob").await?;
    ensure!(bob["active"] == false, "{bob:#}");
    ensure!(user(&daemon, "crowd1").await?["active"] == false);

    change("bob", "changetype: modify\nreplace: userAccountControl\nuserAccountControl: 512")?;
    let done = incremental().await?;
    ensure_counts(&done, &[("reactivate", 1), ("create", 0)])?;
    let back = user(&daemon, "bob").await?;
    ensure!(back["active"] == true && back["id"] == bob["id"], "{back:#}");

    // Five of thirteen more, and the two of today: too many, and nobody is shut out.
    let before = accounts(&daemon).await?;
    for name in &CROWD[1..] {
        change(name, "changetype: delete")?;
    }
    for way in [&["run", "--incremental"][..], &["plan"], &["run"]] {
        let refused = sync(&daemon, way, 3).await?;
        ensure_counts(&refused, &[("deactivate", 5)])?;
    }
    ensure!(accounts(&daemon).await? == before, "somebody was shut out");
    let done = sync(&daemon, &["run", "--override-brake"], 0).await?;
    ensure_counts(&done, &[("deactivate", 5)])?;
    Ok(())
}
