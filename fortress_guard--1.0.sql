/* fortress_guard--1.0.sql */

\echo Use "CREATE EXTENSION fortress_guard" to load this file. \quit

CREATE SCHEMA fortress;
COMMENT ON SCHEMA fortress IS 'fortress_guard: policies, permissions and functions of the guard';

-- Without the preload nothing would be guarded: stop before anything else is made.
CREATE FUNCTION fortress.require_preload() RETURNS void
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'fg_require_preload';
COMMENT ON FUNCTION fortress.require_preload() IS
'raises an error unless fortress_guard is in shared_preload_libraries';
REVOKE ALL ON FUNCTION fortress.require_preload() FROM PUBLIC;
SELECT fortress.require_preload();

----------------------------------------------------------------------------
-- Roles and schemas
----------------------------------------------------------------------------

DO $roles$
DECLARE
	r name;
BEGIN
	FOREACH r IN ARRAY '{fortress_admin,fortress_operator,fortress_auditor}'::name[] LOOP
		IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r AND rolcanlogin) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_object',
				MESSAGE = pg_catalog.format('role "%s" exists and can log in', r),
				DETAIL = 'fortress_guard gives this role rights over the guard; nobody may log in as it.',
				HINT = pg_catalog.format('Rename that role, or run: ALTER ROLE %I NOLOGIN;', r);
		END IF;
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
		END IF;
	END LOOP;
END
$roles$;

GRANT USAGE ON SCHEMA fortress TO PUBLIC;

CREATE SCHEMA fortress_shadow;
COMMENT ON SCHEMA fortress_shadow IS 'fortress_guard: old images of the rows of protected tables';
GRANT USAGE ON SCHEMA fortress_shadow TO fortress_admin, fortress_operator, fortress_auditor;

----------------------------------------------------------------------------
-- Tables.  Only the guard's own functions write them.
----------------------------------------------------------------------------

CREATE TABLE fortress.policy (
	relation regclass NOT NULL,
	mode text NOT NULL CHECK (mode IN ('block', 'audit', 'off')),
	require_where boolean NOT NULL,
	archive text NOT NULL CHECK (archive IN ('none', 'delete', 'update', 'delete,update')),
	columns name[],
	CONSTRAINT policy_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE fortress.policy IS 'one row for each protected table';
COMMENT ON COLUMN fortress.policy.columns IS 'UPDATE of these columns only is guarded; NULL: of all';

CREATE TABLE fortress.row_limit (
	relation regclass NOT NULL,
	operation text NOT NULL CHECK (operation IN ('delete', 'update')),
	per text NOT NULL,
	"by" text NOT NULL CHECK ("by" IN ('role', 'client', 'table')),
	max_rows bigint CHECK (max_rows >= 0),
	max_fraction float8 CHECK (max_fraction >= 0 AND max_fraction <= 1),
	CONSTRAINT row_limit_pkey PRIMARY KEY (relation, operation, per, "by"),
	CHECK ((max_rows IS NULL) <> (max_fraction IS NULL))
);
COMMENT ON TABLE fortress.row_limit IS 'how many rows of a protected table may go, per what and by whom';
COMMENT ON COLUMN fortress.row_limit.per IS 'statement, transaction, or an interval';
COMMENT ON COLUMN fortress.row_limit.max_fraction IS 'instead of max_rows: part of the rows that the table has by its statistics';

CREATE TABLE fortress.shadow (
	relation regclass NOT NULL,
	shadow regclass NOT NULL,
	CONSTRAINT shadow_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE fortress.shadow IS 'which table keeps the old row images of which';

CREATE SEQUENCE fortress.exemption_id_seq;
CREATE TABLE fortress.exemption (
	id bigint NOT NULL,
	role_oid oid NOT NULL,
	role_name name NOT NULL,
	role_system bigint NOT NULL,
	relation regclass,
	operations text[] NOT NULL,
	max_rows bigint CHECK (max_rows >= 0),
	valid_until timestamptz,
	reason text,
	granted_by name NOT NULL,
	granted_at timestamptz NOT NULL,
	ended_at timestamptz,
	CONSTRAINT exemption_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE fortress.exemption IS 'standing permissions of roles';
COMMENT ON COLUMN fortress.exemption.role_system IS 'system identifier of the cluster in which role_oid counts; elsewhere role_name does';

CREATE SEQUENCE fortress.token_id_seq;
CREATE TABLE fortress.token (
	id bigint NOT NULL,
	hash bytea NOT NULL,
	relations regclass[],
	operations text[] NOT NULL,
	max_rows bigint CHECK (max_rows >= 0),
	valid_until timestamptz NOT NULL,
	uses integer CHECK (uses > 0),
	role_oid oid,
	role_name name,
	role_system bigint,
	reason text,
	issued_by name NOT NULL,
	issued_at timestamptz NOT NULL,
	revoked_at timestamptz,
	CONSTRAINT token_pkey PRIMARY KEY (id),
	CONSTRAINT token_hash_key UNIQUE (hash)
);
COMMENT ON TABLE fortress.token IS 'issued tokens; of the secret only the SHA-256 hash is kept';

CREATE TABLE fortress.token_use (
	token bigint NOT NULL,
	number integer NOT NULL,
	rows bigint NOT NULL,
	session_role name NOT NULL,
	used_at timestamptz NOT NULL,
	xid xid8 NOT NULL,
	CONSTRAINT token_use_pkey PRIMARY KEY (token, number)
);
COMMENT ON TABLE fortress.token_use IS 'one row for each committed use of a token';

SELECT pg_catalog.pg_extension_config_dump('fortress.policy', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.row_limit', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.shadow', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.exemption', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.exemption_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token_use', '');

GRANT SELECT ON fortress.policy, fortress.row_limit, fortress.shadow
	TO fortress_admin, fortress_operator, fortress_auditor;

CREATE VIEW fortress.exemptions AS
	SELECT e.id,
		coalesce((SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = e.role_oid), e.role_name) AS role,
		e.relation, e.operations, e.max_rows, e.valid_until, e.reason, e.granted_by, e.granted_at, e.ended_at,
		e.ended_at IS NULL AND coalesce(e.valid_until > pg_catalog.clock_timestamp(), true) AS active
	FROM fortress.exemption e;
COMMENT ON VIEW fortress.exemptions IS 'standing permissions, also those that have ended';

CREATE VIEW fortress.tokens AS
	SELECT t.id, t.relations, t.operations, t.max_rows, t.valid_until, t.uses,
		coalesce((SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = t.role_oid), t.role_name) AS for_role,
		t.reason, t.issued_by, t.issued_at, t.revoked_at,
		coalesce(u.uses, 0) AS used, coalesce(u.rows, 0) AS rows_used, u.last_used_at,
		t.revoked_at IS NULL AND t.valid_until > pg_catalog.clock_timestamp()
			AND coalesce(coalesce(u.uses, 0) < t.uses, true) AS active
	FROM fortress.token t
	LEFT JOIN (SELECT x.token, pg_catalog.count(*) AS uses, pg_catalog.sum(x.rows)::bigint AS rows,
					pg_catalog.max(x.used_at) AS last_used_at
				FROM fortress.token_use x GROUP BY x.token) u ON u.token = t.id;
COMMENT ON VIEW fortress.tokens IS 'issued tokens without their secrets, with what was used of them';

GRANT SELECT ON fortress.exemptions, fortress.tokens TO fortress_admin, fortress_auditor;

----------------------------------------------------------------------------
-- The trigger function: archives, guards TRUNCATE, refuses all without preload
----------------------------------------------------------------------------

CREATE FUNCTION fortress.guard() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_guard';
COMMENT ON FUNCTION fortress.guard() IS
'trigger function of protected tables: archives old row images and refuses everything where the library is not preloaded; fortress.protect() makes its triggers';
REVOKE ALL ON FUNCTION fortress.guard() FROM PUBLIC;

----------------------------------------------------------------------------
-- Protecting
----------------------------------------------------------------------------

CREATE FUNCTION fortress.protect(relation regclass, mode text DEFAULT NULL, delete_rows bigint DEFAULT NULL,
	update_rows bigint DEFAULT NULL, require_where boolean DEFAULT NULL, archive text DEFAULT NULL,
	columns name[] DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_protect';
COMMENT ON FUNCTION fortress.protect(regclass, text, bigint, bigint, boolean, text, name[]) IS
'protects a table, or changes what is given of its policy and keeps the rest; delete_rows and update_rows are rows per transaction, 0: never without permission; for the table''s owner, who can only tighten, fortress_admin and superusers';

CREATE FUNCTION fortress.unprotect(relation regclass) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_unprotect';
COMMENT ON FUNCTION fortress.unprotect(regclass) IS
'ends the protection of a table; its archive stays; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.unprotect(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.unprotect(regclass) TO fortress_admin;

CREATE FUNCTION fortress.set_mode(relation regclass, mode text) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_set_mode';
COMMENT ON FUNCTION fortress.set_mode(regclass, text) IS
'sets a protected table''s mode: block, audit or off; its owner can only make it stricter';

CREATE FUNCTION fortress.set_limit(relation regclass, operation text, max_rows bigint,
	per text DEFAULT 'transaction', by text DEFAULT 'role', max_fraction float8 DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_set_limit';
COMMENT ON FUNCTION fortress.set_limit(regclass, text, bigint, text, text, float8) IS
'at most max_rows rows (0: none without permission), or with max_rows NULL the part max_fraction of the table''s rows, of one operation (delete, update) per statement, transaction or interval, by role, client or table; the owner can only lower a limit';

CREATE FUNCTION fortress.drop_limit(relation regclass, operation text,
	per text DEFAULT 'transaction', by text DEFAULT 'role') RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_drop_limit';
COMMENT ON FUNCTION fortress.drop_limit(regclass, text, text, text) IS
'removes a limit of a protected table; error 42704 if there is none; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.drop_limit(regclass, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.drop_limit(regclass, text, text, text) TO fortress_admin;

----------------------------------------------------------------------------
-- Permission
----------------------------------------------------------------------------

CREATE FUNCTION fortress.exempt(role regrole, relation regclass DEFAULT NULL,
	operations text[] DEFAULT '{delete,update}', max_rows bigint DEFAULT NULL,
	valid_until timestamptz DEFAULT NULL, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_exempt';
COMMENT ON FUNCTION fortress.exempt(regrole, regclass, text[], bigint, timestamptz, text) IS
'lets a role exceed the limits of a protected table (NULL: of all), at most max_rows rows per transaction (NULL: any number), until valid_until (NULL: for good); returns the exemption''s id; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.exempt(regrole, regclass, text[], bigint, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.exempt(regrole, regclass, text[], bigint, timestamptz, text) TO fortress_admin;

CREATE FUNCTION fortress.revoke_exemption(id bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_revoke_exemption';
COMMENT ON FUNCTION fortress.revoke_exemption(bigint) IS
'ends an exemption; error 42704 if it does not exist or has ended; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.revoke_exemption(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.revoke_exemption(bigint) TO fortress_admin;

CREATE FUNCTION fortress.issue_token(relations regclass[] DEFAULT NULL,
	operations text[] DEFAULT '{delete,update}', max_rows bigint DEFAULT NULL,
	valid_for interval DEFAULT '1 hour', uses integer DEFAULT 1,
	for_role regrole DEFAULT NULL, reason text DEFAULT NULL) RETURNS text
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_issue_token';
COMMENT ON FUNCTION fortress.issue_token(regclass[], text[], bigint, interval, integer, regrole, text) IS
'returns a new secret that unlocks the guard for whoever presents it (for_role: only that role), on these relations (NULL: all protected ones), for these operations, for at most max_rows rows over its whole life, valid_for that long, in so many transactions (uses NULL: any number); for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.issue_token(regclass[], text[], bigint, interval, integer, regrole, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.issue_token(regclass[], text[], bigint, interval, integer, regrole, text) TO fortress_admin;

CREATE FUNCTION fortress.unlock(token text, scope text DEFAULT 'transaction') RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_unlock';
COMMENT ON FUNCTION fortress.unlock(text, text) IS
'redeems a token for this transaction, or with scope session (which needs fortress.session_unlock) for this session; error ZG009 if it is not valid; for everybody';

CREATE FUNCTION fortress.lock() RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_lock';
COMMENT ON FUNCTION fortress.lock() IS
'ends what was unlocked in this session or transaction; for everybody';

CREATE FUNCTION fortress.revoke_token(id bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_revoke_token';
COMMENT ON FUNCTION fortress.revoke_token(bigint) IS
'makes a token worthless, also where it is in use; error 42704 if it does not exist or is revoked; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.revoke_token(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.revoke_token(bigint) TO fortress_admin;

----------------------------------------------------------------------------
-- Undo
----------------------------------------------------------------------------

CREATE FUNCTION fortress.shadow_of(relation regclass) RETURNS regclass
LANGUAGE C STABLE STRICT
AS 'MODULE_PATHNAME', 'fg_shadow_of_sql';
COMMENT ON FUNCTION fortress.shadow_of(regclass) IS
'the shadow table of a protected table or of a partition of one; NULL if it has none; for everybody (reading the shadow needs rights on it)';

CREATE FUNCTION fortress.restore(relation regclass, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	xid xid8 DEFAULT NULL, filter text DEFAULT NULL, on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false)
RETURNS TABLE (relation regclass, operation text, rows bigint, conflicts bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_restore';
COMMENT ON FUNCTION fortress.restore(regclass, timestamptz, timestamptz, xid8, text, text, boolean) IS
'puts archived rows back as they were before the first chosen change: changes made in [since, until), by transaction xid, where the SQL condition filter on the shadow''s columns holds (NULL: no such bound); on_conflict error (ZG012), skip or overwrite; dry_run only counts; for fortress_operator, with the right to insert or update the table';
REVOKE ALL ON FUNCTION fortress.restore(regclass, timestamptz, timestamptz, xid8, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.restore(regclass, timestamptz, timestamptz, xid8, text, text, boolean) TO fortress_operator;
