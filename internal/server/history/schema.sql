-- The index of the journal: nothing stands here that the journal cannot give
-- again. Times are milliseconds since 1970; seq is a journal sequence number.

-- What the index has taken in. One row.
CREATE TABLE meta (
	last   INTEGER NOT NULL, -- seq of the last record; 0: none
	hash   TEXT    NOT NULL, -- hex SHA-256 of that record
	latest INTEGER NOT NULL, -- the latest time of any record
	floor  INTEGER NOT NULL  -- records up to this seq are retired
);
INSERT INTO meta VALUES (0, '', 0, 0);

CREATE TABLE tasks (
	ord       INTEGER PRIMARY KEY, -- journal order: seq of the accepted record << 17 | number of the item
	id        TEXT    NOT NULL,
	state     TEXT    NOT NULL,
	module    TEXT    NOT NULL,
	action    TEXT    NOT NULL,
	lock      TEXT,
	caller    TEXT    NOT NULL,
	end_user  TEXT,
	created   INTEGER NOT NULL,
	ended_seq INTEGER NOT NULL,           -- seq of the ended record; 0: live
	gone      INTEGER NOT NULL DEFAULT 0, -- 1: its output was removed
	body      BLOB    NOT NULL            -- JSON: what nobody filters by
);
CREATE INDEX tasks_id     ON tasks(id);
CREATE INDEX tasks_module ON tasks(module);
CREATE INDEX tasks_lock   ON tasks(lock)     WHERE lock IS NOT NULL;
CREATE INDEX tasks_user   ON tasks(end_user) WHERE end_user IS NOT NULL;
CREATE INDEX tasks_state  ON tasks(state)    WHERE state <> 'succeeded';

-- Who asked for a task, first or again.
CREATE TABLE parties (
	caller TEXT    NOT NULL,
	ord    INTEGER NOT NULL,
	PRIMARY KEY (caller, ord)
) WITHOUT ROWID;

-- Records in chunks, so that a busy journal costs a row for many records. A
-- chunk never crosses the boundary of two segments.
CREATE TABLE events (
	last   INTEGER PRIMARY KEY, -- seq of its last record
	latest INTEGER NOT NULL,    -- the latest time of any record up to this one
	lines  BLOB    NOT NULL     -- DEFLATE of JSON lines
);
CREATE INDEX events_latest ON events(latest);

CREATE TRIGGER tasks_party AFTER INSERT ON tasks BEGIN
	INSERT OR IGNORE INTO parties VALUES (new.caller, new.ord);
END;
CREATE TRIGGER tasks_collected AFTER DELETE ON tasks BEGIN
	DELETE FROM parties WHERE ord = old.ord AND caller = old.caller;
	DELETE FROM parties WHERE ord = old.ord
		AND caller IN (SELECT value FROM json_each(CAST(old.body AS TEXT), '$.joined'));
END;
