CREATE TABLE apps (
	id UUID NOT NULL, 
	owner_id UUID NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	metadata JSON, 
	is_active BOOLEAN, 
	created_at DATETIME, 
	updated_at DATETIME, 
	PRIMARY KEY (id), 
	CONSTRAINT idx_app_owner_name UNIQUE (owner_id, name), 
	FOREIGN KEY(owner_id) REFERENCES users (id)
);
CREATE INDEX ix_apps_created_at ON apps (created_at);
CREATE INDEX ix_apps_is_active ON apps (is_active);
CREATE INDEX ix_apps_name ON apps (name);
CREATE INDEX ix_apps_owner_id ON apps (owner_id);
