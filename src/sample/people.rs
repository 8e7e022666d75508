use uuid::Uuid;

use super::random::Random;
use super::schema::Generation;
use super::templates::CATEGORIES;

/// Who uses a sample bank, and with which apps.
#[derive(Clone, Debug)]
pub struct People {
    /// The users; the first is OpenMemory's default user.
    pub users: Vec<User>,
    /// The categories' ids, in the order of [`CATEGORIES`].
    pub categories: Vec<Uuid>,
}

/// A user of a sample bank.
#[derive(Clone, Debug)]
pub struct User {
    /// Key of the row.
    pub id: Uuid,
    /// The name in URLs and payloads.
    pub handle: String,
    /// The name for people.
    pub name: String,
    /// The user's apps, id and name; never empty.
    pub apps: Vec<(Uuid, String)>,
}

const APPS: [&str; 5] = ["openmemory", "cursor", "claude", "vscode", "windsurf"];

impl People {
    /// One user for each 200 memories, at most 40.
    pub fn new(memories: usize, generation: Generation, random: &mut Random) -> Self {
        let count = (memories / 200 + 1).min(40);
        let users = (0..count).map(|index| User::new(index, generation, random)).collect();
        Self { users, categories: CATEGORIES.iter().map(|_| random.uuid()).collect() }
    }
}

impl User {
    fn new(index: usize, generation: Generation, random: &mut Random) -> Self {
        let (handle, name) = match index {
            0 => ("default_user".to_owned(), "Default User".to_owned()),
            _ => (format!("user-{index:02}"), format!("User {index:02}")),
        };
        let apps = APPS
            .iter()
            .take(2 + random.below(APPS.len() - 1))
            .map(|app| {
                let unique = generation.global_app_names() && index > 0;
                (random.uuid(), if unique { format!("{app}-{index:02}") } else { (*app).to_owned() })
            })
            .collect();
        Self { id: random.uuid(), handle, name, apps }
    }
}
