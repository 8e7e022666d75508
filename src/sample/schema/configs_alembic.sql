CREATE TABLE configs (
	id UUID NOT NULL, 
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	created_at DATETIME, 
	updated_at DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
CREATE INDEX idx_configs_key ON configs ("key");
