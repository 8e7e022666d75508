CREATE TABLE configs (
	id UUID NOT NULL, 
	"key" VARCHAR NOT NULL, 
	value JSON NOT NULL, 
	created_at DATETIME, 
	updated_at DATETIME, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_configs_key ON configs ("key");
