--
-- One line for each thing that an attack must not change, in any order:
--
--	row       a row of a protected table: what may go within limits
--	shadow    a row of an archive: what comes for each row that goes
--	all else  definitions, of the shop, of the guard and of the cluster
--	litter    not compared; tells that an attempt has left something behind
--
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;
BEGIN ISOLATION LEVEL REPEATABLE READ;

SELECT format('SELECT %L || t::text FROM ONLY %s t', 'row ' || c.oid::regclass || ' ', c.oid::regclass)
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relname NOT LIKE 'free\_%'
	AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('shop', 'spare', 'public')) \gexec

SELECT format('SELECT %L || t::text FROM ONLY %s t', 'shadow ' || c.oid::regclass || ' ', c.oid::regclass)
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace('fortress_shadow') \gexec

-- What the guard knows
SELECT format('SELECT %L || (to_jsonb(t) - ''uses'')::text FROM %s t', 'guard ' || c.relname || ' ', c.oid::regclass)
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace('fortress')
	AND c.relname NOT IN ('audit_log', 'token_use', 'subtransaction') \gexec

-- The relations of the shop, of the guard and of its archives
CREATE TEMP VIEW watched AS
	SELECT c.*, n.nspname || '.' || c.relname AS name,
		CASE WHEN n.nspname LIKE 'fortress%' THEN 'guard' ELSE 'shop' END AS whose
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('fortress', 'fortress_shadow', 'fortress_trash')
		OR n.nspname IN ('shop', 'spare', 'public') AND c.relname NOT LIKE 'free\_%';
SELECT concat_ws(' ', 'relation', name, oid, relkind, relowner::regrole, relpersistence, relrowsecurity, relforcerowsecurity,
		relreplident, relispartition, pg_get_expr(relpartbound, oid), relam, reloptions, reloftype, relchecks,
		CASE whose WHEN 'guard' THEN relacl::text END)
FROM watched WHERE relkind <> 't' AND relkind <> 'i';
SELECT concat_ws(' ', 'column', w.name, a.attnum, a.attname, a.atttypid::regtype, a.atttypmod, a.attnotnull, a.attisdropped,
		a.attgenerated, a.attidentity, a.attcollation, a.attinhcount, a.attislocal, a.attacl, pg_get_expr(d.adbin, d.adrelid))
FROM watched w JOIN pg_attribute a ON a.attrelid = w.oid LEFT JOIN pg_attrdef d ON d.adrelid = w.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND w.relkind <> 't';
SELECT concat_ws(' ', 'trigger', w.name, t.tgname, t.tgenabled, t.tgtype, t.tgfoid::regprocedure, pg_get_triggerdef(t.oid))
FROM watched w JOIN pg_trigger t ON t.tgrelid = w.oid;
SELECT concat_ws(' ', 'constraint', w.name, c.conname, c.convalidated, pg_get_constraintdef(c.oid))
FROM watched w JOIN pg_constraint c ON c.conrelid = w.oid;
SELECT concat_ws(' ', 'index', w.name, x.indisvalid, x.indisready, x.indislive, pg_get_indexdef(x.indexrelid))
FROM watched w JOIN pg_index x ON x.indrelid = w.oid WHERE w.relkind <> 't';
SELECT concat_ws(' ', 'rule', w.name, r.rulename, r.ev_enabled, pg_get_ruledef(r.oid))
FROM watched w JOIN pg_rewrite r ON r.ev_class = w.oid;
SELECT concat_ws(' ', 'policy', w.name, p) FROM watched w JOIN pg_policy p ON p.polrelid = w.oid;
SELECT concat_ws(' ', 'child', i.inhrelid::regclass, i.inhparent::regclass, i.inhdetachpending)
FROM pg_inherits i
WHERE i.inhrelid IN (SELECT oid FROM watched) OR i.inhparent IN (SELECT oid FROM watched);
SELECT concat_ws(' ', 'type', t.typname, t.typowner::regrole, n.nspname, t.typtype)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname LIKE 'fortress%' OR n.nspname = 'shop' AND t.typname NOT LIKE '%free\_%';
SELECT concat_ws(' ', 'label', enumtypid::regtype, enumlabel, enumsortorder) FROM pg_enum
WHERE enumtypid::regtype::text NOT LIKE '%free\_%';
SELECT concat_ws(' ', 'default privilege', defaclobjtype, defaclnamespace::regnamespace, defaclacl)
FROM pg_default_acl WHERE defaclnamespace::regnamespace::text LIKE 'fortress%';

-- The guard itself
SELECT concat_ws(' ', 'function', p.oid::regprocedure, p.proowner::regrole, p.prosecdef, p.proleakproof, p.probin, p.prosrc,
		p.proconfig, p.proacl, p.provolatile, p.prolang)
FROM pg_proc p WHERE p.pronamespace::regnamespace::text LIKE 'fortress%';
SELECT concat_ws(' ', 'schema', oid, nspname, nspowner::regrole, CASE WHEN nspname LIKE 'fortress%' THEN nspacl::text END)
FROM pg_namespace WHERE nspname LIKE 'fortress%' OR nspname IN ('shop', 'spare');
SELECT concat_ws(' ', 'extension', extname, extowner::regrole, extnamespace::regnamespace, extversion, extconfig, extcondition)
FROM pg_extension WHERE extname = 'fortress_guard';
SELECT concat_ws(' ', 'member', pg_describe_object(classid, objid, objsubid), deptype)
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fortress_guard');

-- The cluster
SELECT concat_ws(' ', 'role', oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
		rolbypassrls, rolconnlimit, rolpassword, rolvaliduntil)
FROM pg_authid
WHERE rolname LIKE 'fortress%' OR rolname IN ('postgres', 'regress_app', 'regress_owner', 'regress_creator', 'regress_super',
	'regress_batch', 'regress_nightly');
SELECT concat_ws(' ', 'membership', roleid::regrole, member::regrole, admin_option)
FROM pg_auth_members
WHERE roleid::regrole::text ~ '^fortress_|batch|nightly' OR member::regrole::text ~ '^fortress_|batch|nightly';
SELECT concat_ws(' ', 'role setting', setrole::regrole, setconfig)
FROM pg_db_role_setting WHERE setrole::regrole::text ~ '^fortress_|batch|nightly';
SELECT concat_ws(' ', 'shared label', l.objoid, l.classoid::regclass, l.provider,
		CASE WHEN l.classoid = 'pg_database'::regclass THEN l.label ELSE (l.label ~ ('\m' || d.oid || '\M'))::text END)
FROM pg_shseclabel l, pg_database d
WHERE d.datname = current_database() AND (l.classoid = 'pg_authid'::regclass OR l.objoid = d.oid);
SELECT concat_ws(' ', 'database', datname, datdba::regrole, datallowconn, datistemplate)
FROM pg_database WHERE datname IN ('attack_base', 'attack_plain', current_database());
SELECT 'auto.conf ' || line FROM regexp_split_to_table(pg_read_file('postgresql.auto.conf'), E'\n') line WHERE line ~ '[^[:space:]]';

SELECT 'prepared ' || gid FROM pg_prepared_xacts WHERE database = current_database();
SELECT concat_ws(' ', 'litter', (SELECT count(*) FROM pg_class WHERE relpersistence <> 't'), (SELECT count(*) FROM pg_proc),
	(SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_rewrite),
	(SELECT md5(string_agg(t::text, ',' ORDER BY oid)) FROM pg_trigger t),
	(SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_subscription), (SELECT count(*) FROM shop.free_table),
	(SELECT count(*) FROM shop.free_agent), (SELECT count(*) FROM shop.free_photo),
	(SELECT count(*) FROM shop.free_order), (SELECT count(*) FROM shop.free_visitor), (SELECT count(*) FROM shop.free_log),
	(SELECT count(*) FROM shop.free_note),
	(SELECT count(*) FROM shop.free_extra), (SELECT max(oid) FROM pg_type WHERE typname LIKE '%free%'),
	(SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_largeobject_metadata));
ROLLBACK;
