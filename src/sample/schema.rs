use serde::{Deserialize, Serialize};

/// Which code created the bank's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// The last version of OpenMemory, tables made by `create_all`, as nearly all banks have them
    #[default]
    Current,
    /// The last version, tables made by its Alembic migrations
    Alembic,
    /// The fork of 2025: app names unique over all users, no messages in the history, Pacific time
    Fork,
}

impl Generation {
    /// Every generation.
    pub const ALL: [Self; 3] = [Self::Current, Self::Alembic, Self::Fork];

    /// Whether the history has mem0's table of recent messages.
    pub const fn has_messages(self) -> bool {
        !matches!(self, Self::Fork)
    }

    /// Whether app names are unique over all users.
    pub const fn global_app_names(self) -> bool {
        matches!(self, Self::Fork)
    }

    /// The tables, to be made before the rows.
    pub const fn tables(self) -> &'static [&'static str] {
        const TABLES: &str = include_str!("schema/tables.sql");
        const APPS: &str = include_str!("schema/apps_current.sql");
        const CONFIGS: &str = include_str!("schema/configs_current.sql");
        match self {
            Self::Current => &[TABLES, APPS, CONFIGS],
            Self::Alembic => &[
                TABLES,
                include_str!("schema/apps_alembic.sql"),
                include_str!("schema/configs_alembic.sql"),
                "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n);
INSERT INTO alembic_version (version_num) VALUES ('afd00efbd06b');",
            ],
            Self::Fork => &[TABLES, include_str!("schema/apps_fork.sql"), CONFIGS],
        }
    }

    /// The tables of mem0's history.
    pub const fn history_tables(self) -> &'static [&'static str] {
        const HISTORY: &str = include_str!("schema/history.sql");
        const MESSAGES: &str = include_str!("schema/messages.sql");
        if self.has_messages() { &[HISTORY, MESSAGES] } else { &[HISTORY] }
    }
}

/// The indexes of the shared tables: made after the rows, because sorting once is many times faster.
pub const INDEXES: &str = include_str!("schema/indexes.sql");
