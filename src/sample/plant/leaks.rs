use std::fs;

use super::Site;
use crate::sample::damage::Damage;
use crate::sample::error::SampleError;
use crate::sample::planted::{Expected, Planted};
use crate::sample::{secrets, timeline, tree};

/// Puts a secret into a file of the volume.
pub fn plant(site: &Site, damage: Damage) -> Result<Planted, SampleError> {
    let random = &mut site.random(damage);
    let (file, text, rule, line) = match damage {
        Damage::PrivateKeyInUpload => ("uploads/keys/deploy.pem", secrets::private_key(random), "private-key", 1),
        Damage::GithubTokenInEnv => {
            let text = format!("COMPOSE_PROJECT_NAME=openmemory\nGITHUB_TOKEN={}\n", secrets::github_token(random));
            (".env", text, "github-token", 2)
        }
        _ => {
            let path = site.bank.join("logs/openmemory.log");
            let log = fs::read_to_string(&path).map_err(SampleError::io(&path))?;
            let mut lines: Vec<&str> = log.lines().collect();
            let line = format!("DEBUG:    forwarded header Authorization: Bearer {}", secrets::jwt(random));
            let at = lines.len() / 2;
            lines.insert(at, &line);
            ("logs/openmemory.log", lines.join("\n") + "\n", "jwt", at + 1)
        }
    };
    tree::write(&site.bank.join(file), text.as_bytes(), timeline::end())?;
    Ok(Planted::of(damage, vec![Expected::finding("leaks", "volume/data", rule, format!("{file}:{line}"))]))
}
