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

CREATE SCHEMA fortress_trash;
COMMENT ON SCHEMA fortress_trash IS 'fortress_guard: tables that were dropped with permission; fortress.undrop() puts them back';
GRANT USAGE ON SCHEMA fortress_trash TO fortress_operator;

----------------------------------------------------------------------------
-- Tables.  Only the guard's own functions write them.
----------------------------------------------------------------------------

CREATE TABLE fortress.policy (
	relation regclass NOT NULL,
	mode text NOT NULL CHECK (mode IN ('block', 'audit', 'off')),
	require_where boolean NOT NULL,
	archive text NOT NULL CHECK (archive IN ('none', 'delete', 'update', 'delete,update')),
	columns name[],
	schema_policy bigint,
	CONSTRAINT policy_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE fortress.policy IS 'one row for each protected table';
COMMENT ON COLUMN fortress.policy.columns IS 'UPDATE of these columns only is guarded; NULL: of all';
COMMENT ON COLUMN fortress.policy.schema_policy IS 'id in fortress.schema_policy of the protected schema that gave it; NULL: a policy of its own';

CREATE SEQUENCE fortress.schema_policy_id_seq;
CREATE TABLE fortress.schema_policy (
	id bigint NOT NULL,
	schema_oid oid NOT NULL,
	schema_name name NOT NULL,
	database_oid oid NOT NULL,
	database_system bigint NOT NULL,
	mode text NOT NULL CHECK (mode IN ('block', 'audit', 'off')),
	require_where boolean NOT NULL,
	archive text NOT NULL CHECK (archive IN ('none', 'delete', 'update', 'delete,update')),
	delete_rows bigint CHECK (delete_rows >= 0),
	update_rows bigint CHECK (update_rows >= 0),
	hourly_delete_rows bigint CHECK (hourly_delete_rows >= 0),
	hourly_update_rows bigint CHECK (hourly_update_rows >= 0),
	CONSTRAINT schema_policy_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE fortress.schema_policy IS 'one row for each protected schema: what the tables are given that come into being there';
COMMENT ON COLUMN fortress.schema_policy.schema_name IS 'where there is no schema with that oid, or in another database, the name counts';
COMMENT ON COLUMN fortress.schema_policy.database_oid IS 'with database_system: the database, and the cluster''s system identifier, in which schema_oid counts';
COMMENT ON COLUMN fortress.schema_policy.delete_rows IS 'per transaction; NULL: no limit';
COMMENT ON COLUMN fortress.schema_policy.hourly_delete_rows IS 'per hour by role; NULL: no limit';

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

-- Left out of dumps: the numbers mean nothing in another cluster.
CREATE TABLE fortress.subtransaction (
	xid xid8 NOT NULL,
	at timestamptz NOT NULL,
	children xid[] NOT NULL,
	CONSTRAINT subtransaction_pkey PRIMARY KEY (xid)
);
COMMENT ON TABLE fortress.subtransaction IS 'the savepoints and exception blocks of transactions of which rows were archived, so that undo() knows what they put in place; removed with the archives';
COMMENT ON COLUMN fortress.subtransaction.at IS 'when it committed or was prepared';
COMMENT ON COLUMN fortress.subtransaction.children IS 'what its row versions have as xmin, besides its own number';

CREATE SEQUENCE fortress.trash_id_seq;
CREATE TABLE fortress.trash_table (
	id bigint NOT NULL,
	trash_name name NOT NULL,
	schema_name name NOT NULL,
	table_name name NOT NULL,
	dropped_at timestamptz NOT NULL,
	dropped_by name NOT NULL,
	xid xid8 NOT NULL,
	database_oid oid NOT NULL,
	database_system bigint NOT NULL,
	CONSTRAINT trash_table_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE fortress.trash_table IS 'one row for each table in schema fortress_trash, but for partitions and children that were dropped with it';
COMMENT ON COLUMN fortress.trash_table.trash_name IS 'its name in schema fortress_trash';
COMMENT ON COLUMN fortress.trash_table.schema_name IS 'where it was';
COMMENT ON COLUMN fortress.trash_table.database_oid IS 'with database_system: the database, and the cluster''s system identifier, in which the oids in fortress.trash_piece count';

CREATE TABLE fortress.trash_piece (
	trash bigint NOT NULL,
	number integer NOT NULL,
	kind text NOT NULL CHECK (kind IN ('table', 'index', 'sequence', 'free sequence', 'statistics', 'type', 'role', 'required', 'function', 'command', 'owner', 'lost', 'checked', 'parent')),
	trash_name name,
	schema_name name,
	name name,
	role_name name,
	what text,
	command text,
	schema_oid oid,
	role_oid oid,
	CONSTRAINT trash_piece_pkey PRIMARY KEY (trash, number)
);
COMMENT ON TABLE fortress.trash_piece IS 'what a table in the trash consists of and what went with it, in the order in which it is put back';
COMMENT ON COLUMN fortress.trash_piece.trash IS 'id in fortress.trash_table';
COMMENT ON COLUMN fortress.trash_piece.trash_name IS 'its name in schema fortress_trash; NULL: it is made anew by command';
COMMENT ON COLUMN fortress.trash_piece.role_name IS 'its owner; for kind role, one whom commands may name; for kind owner, whose name is to follow command; for kinds checked and parent, as whom command is run';

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
	origin text NOT NULL CHECK (origin IN ('secret', 'request', 'totp')),
	request bigint,
	CONSTRAINT token_pkey PRIMARY KEY (id),
	CONSTRAINT token_hash_key UNIQUE (hash),
	CONSTRAINT token_request_key UNIQUE (request)
);
COMMENT ON TABLE fortress.token IS 'permissions for a number of transactions: issued tokens, of whose secret only the SHA-256 hash is kept, and what approved requests and TOTP codes have opened';

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

CREATE SEQUENCE fortress.request_id_seq;
CREATE TABLE fortress.request (
	id bigint NOT NULL,
	requester_oid oid NOT NULL,
	requester_name name NOT NULL,
	requester_system bigint NOT NULL,
	login_oid oid NOT NULL,
	login_name name NOT NULL,
	login_system bigint NOT NULL,
	actual_role name NOT NULL,
	client_addr inet,
	application_name text,
	context text,
	requested_at timestamptz NOT NULL,
	relations regclass[],
	operations text[] NOT NULL,
	max_rows bigint CHECK (max_rows >= 0),
	table_rows bigint,
	valid_for interval NOT NULL,
	reason text NOT NULL,
	state text NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
	decided_by name,
	decided_login name,
	decided_at timestamptz,
	why text,
	valid_until timestamptz,
	CONSTRAINT request_pkey PRIMARY KEY (id)
);
-- Rows come in below SQL: an index here has neither condition nor expression.
CREATE INDEX request_requester_idx ON fortress.request (requester_oid);
COMMENT ON TABLE fortress.request IS 'what was asked for, and what somebody else decided; that one was used says the row of fortress.token that it opened';
COMMENT ON COLUMN fortress.request.requester_oid IS 'the session user, who alone can use it; with requester_system as in fortress.exemption';
COMMENT ON COLUMN fortress.request.login_oid IS 'who logged in: another one than the session user after SET SESSION AUTHORIZATION';
COMMENT ON COLUMN fortress.request.table_rows IS 'rows that the tables had by the planner''s estimate when it was asked for; NULL: not known';
COMMENT ON COLUMN fortress.request.valid_for IS 'from the approval on';

CREATE TABLE fortress.approval_rule (
	relation regclass NOT NULL,
	operations text[] NOT NULL,
	approvers_oid oid,
	approvers_name name,
	approvers_system bigint,
	set_by name NOT NULL,
	set_at timestamptz NOT NULL,
	CONSTRAINT approval_rule_pkey PRIMARY KEY (relation)
);
COMMENT ON TABLE fortress.approval_rule IS 'for which operations an approved request is the only permission';
COMMENT ON COLUMN fortress.approval_rule.relation IS '- (0): every protected table, and for admin the guard itself';
COMMENT ON COLUMN fortress.approval_rule.approvers_oid IS 'whose members decide, with approvers_system as in fortress.exemption; NULL: those of fortress_admin';

-- The columns in front have a fixed width: they are written in place.
CREATE TABLE fortress.totp (
	role_oid oid NOT NULL,
	wrong_codes integer NOT NULL,
	last_step bigint NOT NULL,
	locked_until timestamptz NOT NULL,
	sealed bytea NOT NULL,
	role_name name NOT NULL,
	enrolled_by name NOT NULL,
	enrolled_at timestamptz NOT NULL,
	CONSTRAINT totp_pkey PRIMARY KEY (role_oid)
);
COMMENT ON TABLE fortress.totp IS 'one row for each role that unlocks with codes of an authenticator';
COMMENT ON COLUMN fortress.totp.wrong_codes IS 'in a row; with the next two columns written at once and for good, whatever becomes of the transaction';
COMMENT ON COLUMN fortress.totp.last_step IS 'of the last code that was right, in 30 seconds since 1970; no code of this step or an earlier one works any more';
COMMENT ON COLUMN fortress.totp.sealed IS 'the secret, encrypted for this role in the database of this name, with a key that only this cluster and its physical copies have';

CREATE TABLE fortress.audit_log (
	id bigint NOT NULL,
	at timestamptz NOT NULL,
	event text NOT NULL,
	operation text,
	relation regclass,
	rows bigint,
	max_rows bigint,
	session_role name,
	actual_role name,
	client_addr inet,
	application_name text,
	pid integer,
	xid xid8,
	query text,
	detail jsonb NOT NULL,
	hash bytea NOT NULL,
	journal bigint,
	number bigint,
	CONSTRAINT audit_log_pkey PRIMARY KEY (id),
	CONSTRAINT audit_log_number_key UNIQUE (journal, number)
);
-- Rows come in below SQL: an index here has neither condition nor expression.
CREATE INDEX audit_log_at_idx ON fortress.audit_log (at);
CREATE INDEX audit_log_relation_idx ON fortress.audit_log (relation, at);
COMMENT ON TABLE fortress.audit_log IS 'one row for each event, in the order of the journal; a hash chain that fortress.verify_audit() checks';
COMMENT ON COLUMN fortress.audit_log.id IS 'without gaps from the first row on';
COMMENT ON COLUMN fortress.audit_log.at IS 'when it happened';
COMMENT ON COLUMN fortress.audit_log.event IS 'blocked, observed (over a limit in mode audit), permitted (over a limit, with permission), policy_changed, exemption_granted, exemption_revoked, token_issued, token_used, token_refused, token_revoked, totp_enrolled, totp_used, totp_locked, locked, approval_requested, approval_granted, approval_rejected, approval_refused (somebody who may not decide tried to), restored, trashed (dropped with permission, and so in the trash), undropped, trash_expired, tamper, unrecorded, audit_expired';
COMMENT ON COLUMN fortress.audit_log.relation IS 'the table, or NULL; detail has the name that it had';
COMMENT ON COLUMN fortress.audit_log.rows IS 'rows that the statement reached, or the transaction in permitted and observed; NULL: not known';
COMMENT ON COLUMN fortress.audit_log.max_rows IS 'the limit that was exceeded; NULL: none was';
COMMENT ON COLUMN fortress.audit_log.session_role IS 'who logged in';
COMMENT ON COLUMN fortress.audit_log.actual_role IS 'whose rights counted';
COMMENT ON COLUMN fortress.audit_log.client_addr IS 'NULL: a local socket, or no client';
COMMENT ON COLUMN fortress.audit_log.xid IS 'the transaction, if it had one; pg_xact_status() tells of a recent one whether it committed';
COMMENT ON COLUMN fortress.audit_log.query IS 'what the client sent, without secrets, cut at fortress.audit_query_length bytes';
COMMENT ON COLUMN fortress.audit_log.detail IS 'message, sqlstate, relation (its name) and relid, context (the application''s word), times (how many identical events the row stands for; none: one)';
COMMENT ON COLUMN fortress.audit_log.hash IS 'SHA-256 of the row and the hash before it';
COMMENT ON COLUMN fortress.audit_log.journal IS 'with number: the place in the journal, by which an event is taken in once; NULL: written by the auditor itself';

SELECT pg_catalog.pg_extension_config_dump('fortress.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.policy', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.row_limit', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.schema_policy', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.schema_policy_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.shadow', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.trash_table', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.trash_piece', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.trash_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.exemption', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.exemption_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.token_use', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.request', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.request_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('fortress.approval_rule', '');
-- Left out, unless whoever dumps sets this (PGOPTIONS='-c fortress_guard.dump_totp=on').
SELECT pg_catalog.pg_extension_config_dump('fortress.totp',
	$$WHERE pg_catalog.current_setting('fortress_guard.dump_totp', true) = 'on'$$);

GRANT SELECT ON fortress.policy, fortress.row_limit, fortress.schema_policy, fortress.shadow, fortress.approval_rule
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
			AND coalesce(coalesce(u.uses, 0) < t.uses, true) AS active,
		t.origin, t.request
	FROM fortress.token t
	LEFT JOIN (SELECT x.token, pg_catalog.count(*) AS uses, pg_catalog.sum(x.rows)::bigint AS rows,
					pg_catalog.max(x.used_at) AS last_used_at
				FROM fortress.token_use x GROUP BY x.token) u ON u.token = t.id;
COMMENT ON VIEW fortress.tokens IS 'issued tokens without their secrets, with what was used of them';

CREATE VIEW fortress.requests AS
	SELECT r.id,
		CASE WHEN t.id IS NOT NULL THEN 'used'
			WHEN r.state = 'approved' AND r.valid_until <= pg_catalog.clock_timestamp() THEN 'expired'
			ELSE r.state END AS state,
		r.relations, r.operations, r.max_rows, least(r.max_rows, r.table_rows) AS estimated_rows, r.reason,
		coalesce((SELECT x.rolname FROM pg_catalog.pg_roles x WHERE x.oid = r.requester_oid), r.requester_name) AS requested_by,
		r.login_name AS requester_login, r.actual_role, r.client_addr, r.application_name, r.context, r.requested_at,
		r.decided_by, r.decided_login, r.decided_at, r.why, r.valid_for, r.valid_until,
		t.id AS token, t.issued_at AS used_at
	FROM fortress.request r
	LEFT JOIN fortress.token t ON t.request = r.id;
COMMENT ON VIEW fortress.requests IS 'what was asked for, and what became of it';
COMMENT ON COLUMN fortress.requests.state IS 'pending, approved, rejected, used or expired';
COMMENT ON COLUMN fortress.requests.relations IS 'NULL: every protected table';
COMMENT ON COLUMN fortress.requests.estimated_rows IS
'what it would touch: the rows of the tables by the planner''s estimate when it was asked for, or max_rows if that is less; NULL: not known, or not a matter of rows';
COMMENT ON COLUMN fortress.requests.requested_by IS 'the session user, who alone can use it';
COMMENT ON COLUMN fortress.requests.requester_login IS 'who logged in: another one after SET SESSION AUTHORIZATION';
COMMENT ON COLUMN fortress.requests.actual_role IS 'the role that it was asked for as';
COMMENT ON COLUMN fortress.requests.application_name IS 'the client''s own word, as context is';
COMMENT ON COLUMN fortress.requests.decided_by IS 'who approved it, or rejected it, and was the last to do so';
COMMENT ON COLUMN fortress.requests.valid_until IS 'valid_for from the approval on';
COMMENT ON COLUMN fortress.requests.token IS 'id in fortress.tokens of what its use has opened';

CREATE VIEW fortress.totp_enrolments AS
	SELECT coalesce((SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = t.role_oid), t.role_name) AS role,
		t.enrolled_by, t.enrolled_at,
		CASE WHEN t.last_step > 0 THEN pg_catalog.to_timestamp(t.last_step * 30) END AS last_code_at,
		t.wrong_codes,
		CASE WHEN t.locked_until > pg_catalog.clock_timestamp() THEN t.locked_until END AS locked_until
	FROM fortress.totp t;
COMMENT ON VIEW fortress.totp_enrolments IS 'roles that unlock with codes of an authenticator, without their secrets';
COMMENT ON COLUMN fortress.totp_enrolments.last_code_at IS 'when the step of the last code that was used begins; NULL: none was';
COMMENT ON COLUMN fortress.totp_enrolments.wrong_codes IS 'wrong codes in a row; the fifth locks the enrolment for 15 minutes';
COMMENT ON COLUMN fortress.totp_enrolments.locked_until IS 'NULL: it is not locked';

GRANT SELECT ON fortress.exemptions, fortress.tokens, fortress.requests, fortress.totp_enrolments, fortress.audit_log
	TO fortress_admin, fortress_auditor;

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

CREATE FUNCTION fortress.protect_schema(schema regnamespace, mode text DEFAULT NULL, delete_rows bigint DEFAULT NULL,
	update_rows bigint DEFAULT NULL, require_where boolean DEFAULT NULL, archive text DEFAULT NULL) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_protect_schema';
COMMENT ON FUNCTION fortress.protect_schema(regnamespace, text, bigint, bigint, boolean, text) IS
'protects all tables of a schema that have no policy yet, and every table that is created, moved or restored into it later, or changes what is given of the policies that it gave; returns how many tables came under protection; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.protect_schema(regnamespace, text, bigint, bigint, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.protect_schema(regnamespace, text, bigint, bigint, boolean, text) TO fortress_admin;

CREATE FUNCTION fortress.unprotect_schema(schema regnamespace) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_unprotect_schema';
COMMENT ON FUNCTION fortress.unprotect_schema(regnamespace) IS
'ends what protect_schema began: the policies that it gave to tables that are still in the schema, and that new tables there get one; tables with a policy of their own keep it, archives stay; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.unprotect_schema(regnamespace) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.unprotect_schema(regnamespace) TO fortress_admin;

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

CREATE FUNCTION fortress.request_unlock(relations regclass[], operations text[], max_rows bigint,
	reason text, valid_for interval DEFAULT '1 hour') RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_request_unlock';
COMMENT ON FUNCTION fortress.request_unlock(regclass[], text[], bigint, text, interval) IS
'asks for permission to exceed the limits of tables that the caller may write (relations NULL: of every protected one, or for operation admin; for fortress_admin and superusers), at most max_rows rows (NULL: any number), valid_for that long after somebody else has approved it; returns the request''s id; for everybody';

CREATE FUNCTION fortress.unlock_request(request bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_unlock_request';
COMMENT ON FUNCTION fortress.unlock_request(bigint) IS
'uses an approved request of one''s own for this transaction, once: its commit spends it, its rollback gives it back; error ZG009, with what the request''s state is, if it is not approved; for everybody';

CREATE FUNCTION fortress.approve_unlock(request bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_approve_unlock';
COMMENT ON FUNCTION fortress.approve_unlock(bigint) IS
'approves what somebody else has asked for; error 42501 for who asked, 55000 if it is not pending; for superusers and members of fortress_admin, or of the approvers that fortress.require_approval() named';
REVOKE ALL ON FUNCTION fortress.approve_unlock(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.approve_unlock(bigint) TO fortress_admin;

CREATE FUNCTION fortress.reject_unlock(request bigint, why text) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_reject_unlock';
COMMENT ON FUNCTION fortress.reject_unlock(bigint, text) IS
'rejects what somebody has asked for, or withdraws what oneself has; what was approved and is not used yet ends by it too, in running sessions with their next statement; error 55000 if there is nothing left to reject; for those who may approve it, members of fortress_admin, and who asked';
REVOKE ALL ON FUNCTION fortress.reject_unlock(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.reject_unlock(bigint, text) TO fortress_admin;

CREATE FUNCTION fortress.require_approval(relation regclass, operations text[],
	approvers regrole DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_require_approval';
COMMENT ON FUNCTION fortress.require_approval(regclass, text[], regrole) IS
'from now on nothing but an approved request permits these operations beyond the limits of the table (NULL: of every protected one; operation admin: to change the guard itself, be it with its own functions), and only superusers and members of approvers (NULL: of fortress_admin) approve it; replaces what was said of that table before, and no operations end it; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.require_approval(regclass, text[], regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.require_approval(regclass, text[], regrole) TO fortress_admin;

CREATE FUNCTION fortress.enroll_totp(role regrole) RETURNS text
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_enroll_totp';
COMMENT ON FUNCTION fortress.enroll_totp(regrole) IS
'returns the otpauth:// URI of a new secret, for an authenticator (RFC 6238), by whose codes sessions of that role can unlock the guard; replaces the secret that the role had; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.enroll_totp(regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.enroll_totp(regrole) TO fortress_admin;

CREATE FUNCTION fortress.unlock_totp(code text, operations text[] DEFAULT '{delete,update}',
	relations regclass[] DEFAULT NULL, max_rows bigint DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_unlock_totp';
COMMENT ON FUNCTION fortress.unlock_totp(text, text[], regclass[], bigint) IS
'unlocks the guard for this transaction with the code that the session user''s authenticator shows, for these operations, on these relations (NULL: all protected ones), for at most max_rows rows; a code works once, also if the transaction is rolled back; error ZG009 if it is not valid; for everybody';

----------------------------------------------------------------------------
-- Dropping the database
----------------------------------------------------------------------------

CREATE FUNCTION fortress.allow_drop_database(valid_for interval DEFAULT '10 minutes') RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_allow_drop_database';
COMMENT ON FUNCTION fortress.allow_drop_database(interval) IS
'lets this database, which has protected tables, be dropped from another one, valid_for that long; for fortress_admin and superusers';
REVOKE ALL ON FUNCTION fortress.allow_drop_database(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.allow_drop_database(interval) TO fortress_admin;

----------------------------------------------------------------------------
-- Witness
----------------------------------------------------------------------------

CREATE FUNCTION fortress.verify_audit(OUT ok boolean, OUT rows bigint, OUT first_bad bigint, OUT head text)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_verify_audit';
COMMENT ON FUNCTION fortress.verify_audit() IS
'waits until what is in the journal has been taken in, then checks the hash chain of fortress.audit_log: first_bad is the id of the first row that was changed, removed or put in (NULL: none), head the last row''s hash in hex digits (NULL: no rows); for fortress_admin, fortress_auditor and superusers';
REVOKE ALL ON FUNCTION fortress.verify_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.verify_audit() TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.verify_guard()
RETURNS TABLE (piece text, ok boolean, detail text, fix text)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_verify_guard';
COMMENT ON FUNCTION fortress.verify_guard() IS
'looks at every piece of the guard: ok is false where something is wrong, as detail says, and fix is what mends it; ok is NULL where it could not be told; for fortress_admin, fortress_auditor and superusers';
REVOKE ALL ON FUNCTION fortress.verify_guard() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.verify_guard() TO fortress_admin, fortress_auditor;

----------------------------------------------------------------------------
-- Witness: views
--
-- A row of the audit log stands for detail->'times' identical events, for one
-- where that is absent.
----------------------------------------------------------------------------

CREATE FUNCTION fortress.window_use(relation regclass DEFAULT NULL)
RETURNS TABLE (relation regclass, operation text, per text, "by" text, who text, used bigint)
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fg_window_use_sql';
COMMENT ON FUNCTION fortress.window_use(regclass) IS
'how many rows each window of a table with a policy (NULL: of all) holds now, those of running transactions included: the rows that a limit per interval is compared with; who is a role, an address or a network, or * where everybody counts together; empty windows are left out; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.window_use(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.window_use(regclass) TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.limit_rows(relation regclass, operation text, per text, by text) RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fg_limit_rows';
COMMENT ON FUNCTION fortress.limit_rows(regclass, text, text, text) IS
'the rows that a limit allows now: a fraction as rows; NULL if the table has no such limit or an argument is NULL; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.limit_rows(regclass, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.limit_rows(regclass, text, text, text) TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.tree_of(relation regclass) RETURNS regclass[]
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fg_tree_of';
COMMENT ON FUNCTION fortress.tree_of(regclass) IS
'a table and all its partitions and inheritance children, which are under its policy; NULL for NULL; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.tree_of(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.tree_of(regclass) TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.archived_rows(relation regclass) RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000
AS 'MODULE_PATHNAME', 'fg_archived_rows';
COMMENT ON FUNCTION fortress.archived_rows(regclass) IS
'rows in the archives of a table and its partitions: counted in archives of up to 1000 pages, and in no more than 10000 pages in one query, else estimated from statistics; 0 without an archive, NULL while one is locked; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.archived_rows(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.archived_rows(regclass) TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.archive_size(relation regclass) RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100
AS 'MODULE_PATHNAME', 'fg_archive_size';
COMMENT ON FUNCTION fortress.archive_size(regclass) IS
'bytes on disk of the archives of a table and its partitions; 0 without an archive, NULL while one is locked; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.archive_size(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.archive_size(regclass) TO fortress_admin, fortress_auditor;

-- Not a part of the view, so that the planner makes no more of it than it is:
-- with the whole estimated cost in sight it would compile it.
CREATE FUNCTION fortress.blocked_since(relation regclass, since timestamptz) RETURNS bigint
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
	SELECT coalesce(sum(m.times), 0)::bigint
	FROM unnest(fortress.tree_of($1)) t (member)
	CROSS JOIN LATERAL (SELECT sum(coalesce((a.detail ->> 'times')::bigint, 1)) AS times
		FROM fortress.audit_log a
		WHERE a.relation = t.member AND a.event = 'blocked' AND a.at > $2) m
$function$;
COMMENT ON FUNCTION fortress.blocked_since(regclass, timestamptz) IS
'how many times something was refused on a table, its partitions and children after a moment; NULL if an argument is NULL; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.blocked_since(regclass, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.blocked_since(regclass, timestamptz) TO fortress_admin, fortress_auditor;

-- What a query does not ask for is not worked out: the two joins are by a
-- grouped key, so that the planner can leave them out, and the rest are
-- expressions.
CREATE VIEW fortress.status AS
	SELECT p.relation, p.mode, p.require_where, p.archive, p.columns,
		coalesce(l.limits, '[]'::jsonb) AS limits,
		coalesce(w.windows, '[]'::jsonb) AS window_use,
		fortress.blocked_since(p.relation, pg_catalog.statement_timestamp() - interval '24 hours') AS blocked_24h,
		fortress.archived_rows(p.relation) AS archived_rows,
		fortress.archive_size(p.relation) AS shadow_size,
		(SELECT e.event
			FROM unnest(fortress.tree_of(p.relation)) t (member)
			CROSS JOIN LATERAL (SELECT a.at, a.id, a.event FROM fortress.audit_log a
				WHERE a.relation = t.member ORDER BY a.at DESC, a.id DESC LIMIT 1) e
			ORDER BY e.at DESC, e.id DESC LIMIT 1) AS last_event,
		(SELECT e.at
			FROM unnest(fortress.tree_of(p.relation)) t (member)
			CROSS JOIN LATERAL (SELECT a.at FROM fortress.audit_log a
				WHERE a.relation = t.member ORDER BY a.at DESC LIMIT 1) e
			ORDER BY e.at DESC LIMIT 1) AS last_event_at
	FROM fortress.policy p
	LEFT JOIN (
		SELECT x.relation,
			jsonb_agg(jsonb_strip_nulls(jsonb_build_object('operation', x.operation, 'per', x.per, 'by', x."by",
					'max_rows', x.max_rows, 'max_fraction', x.max_fraction))
				ORDER BY x.operation COLLATE "C", CASE WHEN x.per IN ('statement', 'transaction')
					THEN interval '0' ELSE x.per::interval END, x.per COLLATE "C", x."by" COLLATE "C") AS limits
		FROM fortress.row_limit x
		GROUP BY x.relation) l ON l.relation = p.relation
	LEFT JOIN (
		SELECT x.relation,
			jsonb_agg(jsonb_build_object('operation', x.operation, 'per', x.per, 'by', x."by",
					'used', coalesce(u.used, 0),
					'max_rows', coalesce(x.max_rows, fortress.limit_rows(x.relation, x.operation, x.per, x."by")))
				ORDER BY x.operation COLLATE "C", x.per::interval, x."by" COLLATE "C") AS windows
		FROM fortress.row_limit x
		LEFT JOIN (SELECT v.relation, v.operation, v.per, v."by", max(v.used) AS used
				FROM fortress.window_use() v
				GROUP BY v.relation, v.operation, v.per, v."by") u
			ON u.relation = x.relation AND u.operation = x.operation AND u.per = x.per AND u."by" = x."by"
		WHERE x.per NOT IN ('statement', 'transaction')
		GROUP BY x.relation) w ON w.relation = p.relation
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = p.relation AND n.nspname = 'fortress_trash');
COMMENT ON VIEW fortress.status IS 'one row for each table with a policy that is not in the trash: the policy, and how it is going';
COMMENT ON COLUMN fortress.status.columns IS 'UPDATE of these columns only is guarded; NULL: of all';
COMMENT ON COLUMN fortress.status.limits IS
'array of {operation, per, by, max_rows or max_fraction}, [] where there is none; max_rows in rows, max_fraction a part (0 to 1) of the rows that the table has by its statistics';
COMMENT ON COLUMN fortress.status.window_use IS
'array of {operation, per, by, used, max_rows}, one for each limit per interval, [] where there is none; used: rows in the fullest window of any role or client now, running transactions included; max_rows: fractions as rows';
COMMENT ON COLUMN fortress.status.blocked_24h IS 'refusals of the last 24 hours, partitions and children included';
COMMENT ON COLUMN fortress.status.archived_rows IS
'rows in the archives of the table and its partitions, estimated if they are large; NULL while one is locked';
COMMENT ON COLUMN fortress.status.shadow_size IS 'bytes on disk of these archives; NULL while one is locked';
COMMENT ON COLUMN fortress.status.last_event IS 'the latest event of the table or a partition of it; NULL: none in the log';
COMMENT ON COLUMN fortress.status.last_event_at IS 'when that was; NULL: never, as far as the log goes back';

-- Hour by hour and newest first, so that a condition on the hour, or a LIMIT,
-- reads only what it wants.
CREATE VIEW fortress.activity AS
	SELECT h.hour, e.event, e.operation, e.relation, e.events, e.rows, e.roles
	FROM (SELECT s.hour
		FROM (SELECT min(x.at) AS first_at, max(x.at) AS last_at FROM fortress.audit_log x) b
		CROSS JOIN LATERAL generate_series(date_trunc('hour', b.first_at), b.last_at, interval '1 hour') s (hour)
		ORDER BY s.hour DESC) h
	CROSS JOIN LATERAL (
		SELECT r.event, r.operation, r.relation, sum(r.events)::bigint AS events, sum(r.rows)::bigint AS rows,
			count(r.session_role) AS roles
		FROM (SELECT a.event, a.operation, a.relation, a.session_role,
				sum(coalesce((a.detail ->> 'times')::bigint, 1))::bigint AS events,
				sum(a.rows * coalesce((a.detail ->> 'times')::bigint, 1))::bigint AS rows
			FROM fortress.audit_log a
			WHERE a.at >= h.hour AND a.at < h.hour + interval '1 hour'
			GROUP BY a.event, a.operation, a.relation, a.session_role) r
		GROUP BY r.event, r.operation, r.relation) e;
COMMENT ON VIEW fortress.activity IS
'events of the audit log counted by hour, kind, operation and table; hours without events are left out';
COMMENT ON COLUMN fortress.activity.hour IS 'when the hour begins, in whole hours of the session''s time zone';
COMMENT ON COLUMN fortress.activity.operation IS 'NULL: events that concern none';
COMMENT ON COLUMN fortress.activity.relation IS 'NULL: events that concern no one table';
COMMENT ON COLUMN fortress.activity.events IS 'how many events';
COMMENT ON COLUMN fortress.activity.rows IS
'sum of the rows that the events speak of: asked for where blocked, changed where observed or permitted; NULL: none of them speaks of rows';
COMMENT ON COLUMN fortress.activity.roles IS 'how many different session roles';

CREATE VIEW fortress.offenders AS
	SELECT a.session_role, a.client_addr, a.application_name,
		coalesce(sum(coalesce((a.detail ->> 'times')::bigint, 1)) FILTER (WHERE a.event = 'blocked'), 0)::bigint AS blocked,
		coalesce(sum(coalesce((a.detail ->> 'times')::bigint, 1)) FILTER (WHERE a.event = 'observed'), 0)::bigint AS observed,
		coalesce(sum(coalesce((a.detail ->> 'times')::bigint, 1)) FILTER (WHERE a.event = 'token_refused'), 0)::bigint
			AS token_refused,
		sum(a.rows * coalesce((a.detail ->> 'times')::bigint, 1))::bigint AS rows,
		count(DISTINCT a.relation) AS relations,
		min(a.at) AS first_at, max(a.at) AS last_at
	FROM fortress.audit_log a
	WHERE a.event IN ('blocked', 'observed', 'token_refused')
	GROUP BY a.session_role, a.client_addr, a.application_name;
COMMENT ON VIEW fortress.offenders IS
'who went over a limit or presented a bad token, by session role, client address and application, over the whole audit log';
COMMENT ON COLUMN fortress.offenders.client_addr IS 'NULL: connected through a local socket, or no client at all';
COMMENT ON COLUMN fortress.offenders.application_name IS 'the client''s own word';
COMMENT ON COLUMN fortress.offenders.blocked IS 'refusals';
COMMENT ON COLUMN fortress.offenders.observed IS 'transactions that mode audit let pass and mode block would have refused';
COMMENT ON COLUMN fortress.offenders.token_refused IS 'tokens that were not valid';
COMMENT ON COLUMN fortress.offenders.rows IS 'rows asked for by what was blocked or observed; NULL: not known for any of it';
COMMENT ON COLUMN fortress.offenders.relations IS 'how many different tables';
COMMENT ON COLUMN fortress.offenders.first_at IS 'when the first of these events was';
COMMENT ON COLUMN fortress.offenders.last_at IS 'when the latest of these events was';

GRANT SELECT ON fortress.status, fortress.activity, fortress.offenders TO fortress_admin, fortress_auditor;

CREATE FUNCTION fortress.suggest_limits(relation regclass, observed interval DEFAULT '7 days')
RETURNS TABLE (operation text, per text, "by" text, current_rows bigint, seen_rows bigint,
	suggested_rows bigint, command text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
	governor regclass;
BEGIN
	IF suggest_limits.relation IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "relation" must not be null';
	END IF;
	IF suggest_limits.observed <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "observed" must be positive',
			HINT = 'NULL means as far as the audit log goes back.';
	END IF;
	IF NOT EXISTS (SELECT FROM fortress.policy p WHERE p.relation = suggest_limits.relation) THEN
		SELECT p.relation INTO governor FROM fortress.policy p
			WHERE suggest_limits.relation = ANY (fortress.tree_of(p.relation)) LIMIT 1;
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('table "%s" is not protected', suggest_limits.relation),
			HINT = CASE WHEN governor IS NULL THEN 'Protect it with fortress.protect().'
				ELSE format('It is governed by the policy of "%s".', governor) END;
	END IF;

	RETURN QUERY
	WITH seen AS MATERIALIZED (
		-- who it was in the eyes of a limit, as the guard's windows have it
		SELECT a.operation, a.at, a.rows, a.rows::numeric * coalesce((a.detail ->> 'times')::bigint, 1) AS total,
			a.session_role::text AS role,
			CASE WHEN a.client_addr <<= inet '::ffff:127.0.0.0/104' OR a.client_addr <<= inet '127.0.0.0/8' THEN NULL
				WHEN a.client_addr <<= inet '::ffff:0.0.0.0/96' OR family(a.client_addr) = 4 THEN a.client_addr
				WHEN a.client_addr <<= inet '::/64' THEN NULL
				ELSE set_masklen(a.client_addr, 64)::cidr::inet END AS client
		FROM fortress.audit_log a
		WHERE a.relation = suggest_limits.relation AND a.event = 'observed' AND a.operation IN ('delete', 'update')
			AND a.rows > 0 AND a.at > coalesce(statement_timestamp() - suggest_limits.observed, '-infinity')
	), limits AS (
		SELECT l.operation, l.per, l."by", l.max_fraction,
			coalesce(l.max_rows, fortress.limit_rows(l.relation, l.operation, l.per, l."by")) AS current_rows,
			CASE WHEN l.per NOT IN ('statement', 'transaction') THEN extract(epoch FROM l.per::interval)::float8 END AS secs
		FROM fortress.row_limit l
		WHERE l.relation = suggest_limits.relation
	), compared AS (
		SELECT l.*, coalesce(CASE WHEN l.secs IS NULL
			THEN (SELECT max(s.rows) FROM seen s WHERE s.operation = l.operation)
			-- a window forgets in steps of a thirtieth of its interval
			ELSE (SELECT max(w.rows)
				FROM (SELECT sum(s.total) OVER (
						PARTITION BY CASE l."by" WHEN 'role' THEN s.role WHEN 'client' THEN s.client::text END
						ORDER BY s.at RANGE BETWEEN make_interval(secs => l.secs * 31 / 30) PRECEDING AND CURRENT ROW) AS rows
					FROM seen s WHERE s.operation = l.operation) w)
			END, 0) AS seen_rows
		FROM limits l
	), covered AS (
		-- rows that were within a limit are not in the log: up to as many may have come first
		SELECT c.*, CASE WHEN c.seen_rows = 0 THEN 0
			ELSE ceil((c.seen_rows + CASE WHEN c.per = 'statement' THEN 0 ELSE c.current_rows END) * 1.2) END AS needed
		FROM compared c
	), suggested AS (
		SELECT c.*, greatest(c.current_rows, least(9223372036854775807, ceil(c.needed / s.step) * s.step))::bigint AS suggested_rows
		FROM covered c
		CROSS JOIN LATERAL (SELECT power(10::numeric, greatest(length(c.needed::text) - 2, 0)) AS step) s
	)
	SELECT g.operation, g.per, g."by", g.current_rows, least(9223372036854775807, g.seen_rows)::bigint, g.suggested_rows,
		CASE WHEN g.max_fraction IS NOT NULL AND g.suggested_rows = g.current_rows
			THEN format('SELECT fortress.set_limit(%L, %L, NULL, %L, %L, %s);', suggest_limits.relation, g.operation,
				g.per, g."by", g.max_fraction)
			ELSE format('SELECT fortress.set_limit(%L, %L, %s, %L, %L);', suggest_limits.relation, g.operation,
				g.suggested_rows, g.per, g."by") END
	FROM suggested g
	ORDER BY g.operation COLLATE "C", coalesce(g.secs, 0), g.per COLLATE "C", g."by" COLLATE "C";
END
$function$;
COMMENT ON FUNCTION fortress.suggest_limits(regclass, interval) IS
'for each limit of a protected table, what it has to be to let pass all that mode audit observed in the last interval (observed NULL: as far as the audit log goes back), and the command that sets it; seen_rows: the most rows of one transaction, or within the interval of the limit for one role, client or the table, that were over a limit, 0 where nothing was; suggested_rows: never less than current_rows (fractions as rows), else seen_rows and what a limit had let pass before, plus 20 percent, rounded up to two digits; what was permitted is not counted, as it needs no limit; error 42704 if the table is not protected; for fortress_admin and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.suggest_limits(regclass, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.suggest_limits(regclass, interval) TO fortress_admin, fortress_auditor;

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

-- A setting in seconds reads like an interval.
CREATE VIEW fortress.trash AS
	SELECT t.id, c.oid::regclass AS relation, t.schema_name, t.table_name, t.dropped_at, t.dropped_by, t.xid,
		(SELECT pg_catalog.count(*) FROM fortress.trash_piece p WHERE p.trash = t.id AND p.kind = 'table') AS tables,
		(SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(m.oid))::bigint
			FROM fortress.trash_piece p JOIN pg_catalog.pg_class m ON m.relname = p.trash_name AND m.relnamespace = c.relnamespace
			WHERE p.trash = t.id AND p.kind = 'table') AS size,
		t.dropped_at + nullif(pg_catalog.current_setting('fortress.trash_retention', true)::interval, interval '0') AS expires_at
	FROM fortress.trash_table t
	LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'fortress_trash')
		ON c.relname = t.trash_name;
COMMENT ON VIEW fortress.trash IS 'tables that were dropped with permission, for fortress.undrop()';
COMMENT ON COLUMN fortress.trash.relation IS 'where it lies now; NULL: it is gone';
COMMENT ON COLUMN fortress.trash.tables IS 'the table with its partitions and children';
COMMENT ON COLUMN fortress.trash.size IS 'bytes on disk of all of them, indexes included';
COMMENT ON COLUMN fortress.trash.expires_at IS 'when it may be dropped for good; NULL: never';
GRANT SELECT ON fortress.trash TO fortress_admin, fortress_operator, fortress_auditor;

CREATE FUNCTION fortress.undrop(trash_id bigint) RETURNS regclass
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_undrop';
COMMENT ON FUNCTION fortress.undrop(bigint) IS
'puts a dropped table (id in fortress.trash) back where it was, with all that went with it; a WARNING names what could not be put back; error 42704 if it is not in the trash, 3F000 if its schema is gone, 42P07 if a name is taken; for fortress_operator and fortress_admin';
REVOKE ALL ON FUNCTION fortress.undrop(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.undrop(bigint) TO fortress_operator, fortress_admin;

CREATE FUNCTION fortress.undrop_as(trash_id bigint, new_name name DEFAULT NULL, new_schema regnamespace DEFAULT NULL) RETURNS regclass
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_undrop_as';
COMMENT ON FUNCTION fortress.undrop_as(bigint, name, regnamespace) IS
'the same as fortress.undrop(), under another name (NULL: its own) or in another schema (NULL: its own), in which the caller may create tables; what has taken names of the table, its indexes, sequences and types in the meantime keeps them; for fortress_operator and fortress_admin';
REVOKE ALL ON FUNCTION fortress.undrop_as(bigint, name, regnamespace) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.undrop_as(bigint, name, regnamespace) TO fortress_operator, fortress_admin;

CREATE FUNCTION fortress.undo(xid xid8, on_conflict text DEFAULT 'error', dry_run boolean DEFAULT false)
RETURNS TABLE (relation regclass, operation text, rows bigint, conflicts bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_undo';
COMMENT ON FUNCTION fortress.undo(xid8, text, boolean) IS
'puts back what a transaction deleted, updated and truncated in all protected tables, in one statement, so that foreign keys between them hold at its end; rows that it inserted stay, and those that it also deleted do not come back; on_conflict error (ZG012), skip or overwrite; dry_run only counts; for fortress_operator, with the right to insert or update the tables';
REVOKE ALL ON FUNCTION fortress.undo(xid8, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.undo(xid8, text, boolean) TO fortress_operator;

CREATE FUNCTION fortress.preview_undo(xid xid8, on_conflict text DEFAULT 'error')
RETURNS TABLE (relation regclass, key text, action text, reason text, current_row jsonb, wanted_row jsonb)
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_preview_undo';
COMMENT ON FUNCTION fortress.preview_undo(xid8, text) IS
'row by row what undo() of a transaction would do: insert, update, nothing or conflict, and why; the row as it is and as it was; for fortress_operator, with the right to read the tables';
REVOKE ALL ON FUNCTION fortress.preview_undo(xid8, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.preview_undo(xid8, text) TO fortress_operator;

CREATE FUNCTION fortress.purge(older_than interval DEFAULT NULL, relation regclass DEFAULT NULL, filter text DEFAULT NULL)
RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'fg_purge';
COMMENT ON FUNCTION fortress.purge(interval, regclass, text) IS
'removes archived rows for good, of one table or (NULL) of all: those archived longer ago than older_than (NULL: fortress.retention) where the SQL condition filter on the shadow''s columns holds (NULL: all of them), and returns how many; never those that the same transaction archived; an event; for fortress_admin';
REVOKE ALL ON FUNCTION fortress.purge(interval, regclass, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.purge(interval, regclass, text) TO fortress_admin;

-- The statement of a restore calls it for each row that it puts back.
CREATE FUNCTION fortress.count_row() RETURNS boolean
LANGUAGE C VOLATILE COST 3
AS 'MODULE_PATHNAME', 'fg_count_row';
COMMENT ON FUNCTION fortress.count_row() IS
'true; counts a row for fortress.progress while fortress.restore() or fortress.undo() runs, whose statement calls it; for fortress_operator';
REVOKE ALL ON FUNCTION fortress.count_row() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.count_row() TO fortress_operator;

CREATE FUNCTION fortress.running()
RETURNS TABLE (pid integer, role regrole, relation regclass, command text, phase text, rows_total bigint, rows_done bigint,
	started_at timestamptz)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'fg_running';
COMMENT ON FUNCTION fortress.running() IS
'what fortress.progress shows; for fortress_admin, fortress_operator and fortress_auditor';
REVOKE ALL ON FUNCTION fortress.running() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fortress.running() TO fortress_admin, fortress_operator, fortress_auditor;

CREATE VIEW fortress.progress AS
SELECT r.pid, r.role, r.relation, r.command, r.phase, r.rows_total, r.rows_done, r.started_at
FROM fortress.running() r;
COMMENT ON VIEW fortress.progress IS
'restores, undos, undrops and purges that run in this database now; relation is NULL where several are worked on in one statement; rows_total is NULL while it is not known, and counts archived rows, of which several may concern one row of the table, or, for undrop, pieces of the table';
GRANT SELECT ON fortress.progress TO fortress_admin, fortress_operator, fortress_auditor;

----------------------------------------------------------------------------
-- Default privileges
----------------------------------------------------------------------------

-- ALTER DEFAULT PRIVILEGES may have given others rights on all that was made
-- above: what this script has not said does not count.
DO $rights$
DECLARE
	r record;
BEGIN
	FOR r IN
		SELECT DISTINCT made.kind, made.name, CASE WHEN a.grantee = 0 THEN 'PUBLIC'
			ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee
		FROM (SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass::text, c.relacl, c.relowner, false
				FROM pg_catalog.pg_class c
				WHERE c.relnamespace = 'fortress'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
			UNION ALL
			SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::text, p.proacl, p.proowner, true
				FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'fortress'::pg_catalog.regnamespace
			UNION ALL
			SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), n.nspacl, n.nspowner, n.nspname = 'fortress'
				FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('fortress', 'fortress_shadow', 'fortress_trash')) made (kind, name, acl, owner, public_too)
		CROSS JOIN pg_catalog.aclexplode(made.acl) a
		WHERE a.grantee <> made.owner AND NOT (made.public_too AND a.grantee = 0)
			AND pg_catalog.pg_get_userbyid(a.grantee) NOT IN ('fortress_admin', 'fortress_operator', 'fortress_auditor')
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', r.kind, r.name, r.grantee);
	END LOOP;
END
$rights$;
