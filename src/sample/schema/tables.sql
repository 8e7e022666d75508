CREATE TABLE users (
	id UUID NOT NULL, 
	user_id VARCHAR NOT NULL, 
	name VARCHAR, 
	email VARCHAR, 
	metadata JSON, 
	created_at DATETIME, 
	updated_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE categories (
	id UUID NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	created_at DATETIME, 
	updated_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE access_controls (
	id UUID NOT NULL, 
	subject_type VARCHAR NOT NULL, 
	subject_id UUID, 
	object_type VARCHAR NOT NULL, 
	object_id UUID, 
	effect VARCHAR NOT NULL, 
	created_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE archive_policies (
	id UUID NOT NULL, 
	criteria_type VARCHAR NOT NULL, 
	criteria_id UUID, 
	days_to_archive INTEGER NOT NULL, 
	created_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE memories (
	id UUID NOT NULL, 
	user_id UUID NOT NULL, 
	app_id UUID NOT NULL, 
	content VARCHAR NOT NULL, 
	vector VARCHAR, 
	metadata JSON, 
	state VARCHAR(8), 
	created_at DATETIME, 
	updated_at DATETIME, 
	archived_at DATETIME, 
	deleted_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(user_id) REFERENCES users (id), 
	FOREIGN KEY(app_id) REFERENCES apps (id)
);
CREATE TABLE memory_categories (
	memory_id UUID NOT NULL, 
	category_id UUID NOT NULL, 
	PRIMARY KEY (memory_id, category_id), 
	FOREIGN KEY(memory_id) REFERENCES memories (id), 
	FOREIGN KEY(category_id) REFERENCES categories (id)
);
CREATE TABLE memory_status_history (
	id UUID NOT NULL, 
	memory_id UUID NOT NULL, 
	changed_by UUID NOT NULL, 
	old_state VARCHAR(8) NOT NULL, 
	new_state VARCHAR(8) NOT NULL, 
	changed_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(memory_id) REFERENCES memories (id), 
	FOREIGN KEY(changed_by) REFERENCES users (id)
);
CREATE TABLE memory_access_logs (
	id UUID NOT NULL, 
	memory_id UUID NOT NULL, 
	app_id UUID NOT NULL, 
	accessed_at DATETIME, 
	access_type VARCHAR NOT NULL, 
	metadata JSON, 
	PRIMARY KEY (id), 
	FOREIGN KEY(memory_id) REFERENCES memories (id), 
	FOREIGN KEY(app_id) REFERENCES apps (id)
);
