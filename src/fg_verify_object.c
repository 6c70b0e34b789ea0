/*-------------------------------------------------------------------------
 *
 * fg_verify_object.c
 *		verify_guard(): what the extension's script made.
 *
 * What the script makes is listed here once more, by name.  That looks like one
 * place too many, but a list that could be changed with SQL would prove
 * nothing, and the tests call verify_guard() on a fresh installation: a new
 * object that is not in the lists shows there as one that does not belong.
 *
 * Two things need no list.  Every C function calls the symbol of its own name,
 * so one that was replaced by another shows.  And the rights that the script
 * gave are in pg_init_privs, where the server has kept them for pg_dump; what is
 * different now was granted or revoked later.  What the owner has is left out: it
 * can always give itself everything.
 *
 * All queries are on the system's catalogs.  Locks: AccessShareLock on those.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_catalog_request.h"
#include "fg_verify.h"

/* the version of the script that goes with this library */
#define FG_VERSION			"1.0"

#define SCRIPT				"fortress_guard--" FG_VERSION ".sql"

static const char *const functions[] = {
	"allow_drop_database", "approve_unlock", "archive_size", "archived_rows", "blocked_since", "count_row",
	"drop_limit", "enroll_totp", "exempt", "guard", "issue_token", "limit_rows", "lock", "preview_undo", "protect",
	"protect_schema", "purge", "reject_unlock", "request_unlock", "require_approval", "require_preload",
	"restore", "revoke_exemption", "revoke_token", "running", "set_limit", "set_mode", "shadow_of",
	"suggest_limits", "tree_of", "undo", "undrop", "undrop_as", "unlock", "unlock_request", "unlock_totp",
	"unprotect", "unprotect_schema", "verify_audit", "verify_guard", "window_use"
};

static const struct
{
	const char *name;
	char		relkind;
	int			n_columns;		/* of tables, 0: not looked at */
	const char *index;			/* by which the guard reads it, or NULL */
}			relations[] =
{
	{"activity", RELKIND_VIEW, 0, NULL},
	{"approval_rule", RELKIND_RELATION, 7, "approval_rule_pkey"},
	{"audit_log", RELKIND_RELATION, 18, "audit_log_pkey"},
	{"audit_log", RELKIND_RELATION, 18, "audit_log_number_key"},
	{"exemption", RELKIND_RELATION, 12, "exemption_pkey"},
	{"exemption_id_seq", RELKIND_SEQUENCE, 0, NULL},
	{"exemptions", RELKIND_VIEW, 0, NULL},
	{"offenders", RELKIND_VIEW, 0, NULL},
	{"policy", RELKIND_RELATION, 6, "policy_pkey"},
	{"progress", RELKIND_VIEW, 0, NULL},
	{"request", RELKIND_RELATION, 24, "request_pkey"},
	{"request_id_seq", RELKIND_SEQUENCE, 0, NULL},
	{"requests", RELKIND_VIEW, 0, NULL},
	{"row_limit", RELKIND_RELATION, 6, "row_limit_pkey"},
	{"schema_policy", RELKIND_RELATION, 12, "schema_policy_pkey"},
	{"schema_policy_id_seq", RELKIND_SEQUENCE, 0, NULL},
	{"shadow", RELKIND_RELATION, 2, "shadow_pkey"},
	{"status", RELKIND_VIEW, 0, NULL},
	{"subtransaction", RELKIND_RELATION, 3, "subtransaction_pkey"},
	{"token", RELKIND_RELATION, 16, "token_pkey"},
	{"token", RELKIND_RELATION, 16, "token_hash_key"},
	{"token", RELKIND_RELATION, 16, "token_request_key"},
	{"token_id_seq", RELKIND_SEQUENCE, 0, NULL},
	{"token_use", RELKIND_RELATION, 6, "token_use_pkey"},
	{"tokens", RELKIND_VIEW, 0, NULL},
	{"totp", RELKIND_RELATION, 8, "totp_pkey"},
	{"totp_enrolments", RELKIND_VIEW, 0, NULL},
	{"trash", RELKIND_VIEW, 0, NULL},
	{"trash_id_seq", RELKIND_SEQUENCE, 0, NULL},
	{"trash_piece", RELKIND_RELATION, 11, "trash_piece_pkey"},
	{"trash_table", RELKIND_RELATION, 9, "trash_table_pkey"}
};

/* what all queries begin with: the extension, its owner, the schema */
#define WITH_EXTENSION \
	"WITH e AS (SELECT x.oid, x.extowner, n.oid AS schema FROM pg_catalog.pg_extension x" \
	" CROSS JOIN pg_catalog.pg_namespace n WHERE x.extname = 'fortress_guard' AND n.nspname = 'fortress')"

/* "TABLE a.b" as "table a.b" */
#define LABEL \
	"pg_catalog.lower(pg_catalog.split_part(x.name, ' ', 1)) || pg_catalog.substr(x.name, pg_catalog.strpos(x.name, ' '))"

/* is the object "id" of catalog "class" a member of the extension? */
#define IS_MEMBER(class, id) \
	"EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = '" class "'::pg_catalog.regclass AND d.objid = " id \
	" AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid AND d.deptype = 'e')"

/* the roles of the guard, by whatever name: those that the script let read policies */
#define READERS \
	" readers AS (SELECT a.grantee AS role FROM pg_catalog.pg_namespace s" \
	"  JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = 'policy'" \
	"  JOIN pg_catalog.pg_init_privs i ON i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.objoid = c.oid AND i.objsubid = 0" \
	"  CROSS JOIN pg_catalog.aclexplode(i.initprivs) a" \
	"  WHERE s.nspname = 'fortress' AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner),"

/* ----------------------------------------------------------------
 *		Extension, schemas, roles
 * ----------------------------------------------------------------
 */

void
fg_verify_extension(FgFindings *findings)
{
	Oid			schema = get_namespace_oid("fortress", true);
	Oid			extension = get_extension_oid("fortress_guard", true);

	/* what fg_catalog_present() answers, but not from its memory */
	if (!OidIsValid(schema) || !OidIsValid(extension) ||
		getExtensionOfObject(NamespaceRelationId, schema) != extension)
		fg_verify_bad(findings, "extension",
					  "Schema fortress does not belong to extension fortress_guard: nothing is guarded in this database.",
					  OidIsValid(schema) && OidIsValid(extension) ?
					  "ALTER EXTENSION fortress_guard ADD SCHEMA fortress;" :
					  "Put extension fortress_guard back from a backup.");
	fg_verify_query(findings, NULL, NULL,
					"SELECT 'version', x.extversion = '" FG_VERSION "',"
					" CASE WHEN x.extversion = '" FG_VERSION "' THEN 'Extension and library are version " FG_VERSION ".'"
					"  ELSE pg_catalog.format('The extension is version %s, the library %s.', x.extversion, '" FG_VERSION "') END,"
					" CASE WHEN x.extversion <> '" FG_VERSION "' THEN 'ALTER EXTENSION fortress_guard UPDATE TO ''" FG_VERSION "'';' END "
					"FROM pg_catalog.pg_extension x WHERE x.extname = 'fortress_guard'");
}

void
fg_verify_schemas(FgFindings *findings)
{
	fg_verify_query(findings, "schemas", "They are there and have their owner.",
					WITH_EXTENSION ", s AS (SELECT w.name, n.oid, n.nspowner, n.nspname FROM (VALUES ('fortress'), ('fortress_shadow'), ('fortress_trash')) w (name)"
					" LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name) "
					"SELECT 'schema ' || s.name, false, 'It is missing.',"
					" 'Put it back with its tables from a backup, as " SCRIPT " has it.' FROM s WHERE s.oid IS NULL "
					"UNION ALL SELECT 'schema ' || s.name, false, pg_catalog.format('Its owner is %s.', pg_catalog.pg_get_userbyid(s.nspowner)),"
					" pg_catalog.format('ALTER SCHEMA %I OWNER TO %I;', s.name, pg_catalog.pg_get_userbyid(e.extowner))"
					" FROM s CROSS JOIN e WHERE s.nspowner <> e.extowner "
					"UNION ALL SELECT 'schema ' || s.name, false, 'It does not belong to the extension.',"
					" pg_catalog.format('ALTER EXTENSION fortress_guard ADD SCHEMA %I;', s.name)"
					" FROM s CROSS JOIN e WHERE s.oid IS NOT NULL AND s.name <> 'fortress' AND NOT " IS_MEMBER("pg_catalog.pg_namespace", "s.oid"));
}

void
fg_verify_roles(FgFindings *findings)
{
	fg_verify_query(findings, NULL, NULL,
					"WITH RECURSIVE m AS (SELECT r.oid AS role, a.member FROM pg_catalog.pg_roles r"
					"  JOIN pg_catalog.pg_auth_members a ON a.roleid = r.oid"
					"  WHERE r.rolname IN ('fortress_admin', 'fortress_operator', 'fortress_auditor')"
					" UNION SELECT m.role, a.member FROM m JOIN pg_catalog.pg_auth_members a ON a.roleid = m.member),"
					" r AS (SELECT w.name, x.oid, x.rolcanlogin,"
					"  x.rolsuper OR x.rolcreaterole OR x.rolcreatedb OR x.rolreplication OR x.rolbypassrls AS mighty"
					"  FROM (VALUES ('fortress_admin'), ('fortress_operator'), ('fortress_auditor')) w (name)"
					"  LEFT JOIN pg_catalog.pg_roles x ON x.rolname = w.name),"
	/* whoever of them has another name now */
					READERS " n AS (SELECT min(x.rolname::pg_catalog.text) AS name FROM readers JOIN pg_catalog.pg_roles x ON x.oid = readers.role"
					"  WHERE x.rolname NOT IN ('fortress_admin', 'fortress_operator', 'fortress_auditor') HAVING count(*) = 1) "
					"SELECT 'role ' || r.name, r.oid IS NOT NULL AND NOT r.rolcanlogin AND NOT r.mighty,"
					" CASE WHEN r.oid IS NULL THEN 'It does not exist.'"
					"  WHEN r.rolcanlogin THEN 'It can log in.'"
					"  WHEN r.mighty THEN 'It has attributes of a superuser or some of them.'"
					"  ELSE coalesce('Its members are ' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.member)), ', '"
					"   ORDER BY pg_catalog.pg_get_userbyid(m.member)) FROM m WHERE m.role = r.oid) || '.', 'It has no members.') END,"
					" CASE WHEN r.oid IS NULL AND n.name IS NOT NULL THEN pg_catalog.format('ALTER ROLE %I RENAME TO %I;', n.name, r.name)"
					"  WHEN r.oid IS NULL THEN pg_catalog.format('CREATE ROLE %I NOLOGIN;', r.name)"
					"  WHEN r.rolcanlogin THEN pg_catalog.format('ALTER ROLE %I NOLOGIN;', r.name)"
					"  WHEN r.mighty THEN pg_catalog.format('ALTER ROLE %I NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;', r.name) END "
					"FROM r LEFT JOIN n ON true");
}

/* ----------------------------------------------------------------
 *		Functions
 * ----------------------------------------------------------------
 */

void
fg_verify_functions(FgFindings *findings)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, WITH_EXTENSION ", w AS (SELECT pg_catalog.unnest('{");
	for (int i = 0; i < lengthof(functions); i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? "," : "", functions[i]);
	appendStringInfoString(&sql,
						   "}'::pg_catalog.name[]) AS name),"
						   " f AS (SELECT p.oid, p.proname, p.oid::pg_catalog.regprocedure AS sig, p.proowner, p.prosecdef, p.proconfig,"
						   "  e.extowner, l.lanname, p.prosrc, p.probin, " IS_MEMBER("pg_catalog.pg_proc", "p.oid") " AS member,"
						   "  pg_catalog.row_number() OVER (PARTITION BY p.proname ORDER BY " IS_MEMBER("pg_catalog.pg_proc", "p.oid") " DESC, p.oid) = 1"
						   "   AND p.proname IN (SELECT w.name FROM w) AS ours"
						   "  FROM e JOIN pg_catalog.pg_proc p ON p.pronamespace = e.schema JOIN pg_catalog.pg_language l ON l.oid = p.prolang) "
						   "SELECT 'function fortress.' || w.name, false, 'It is missing.',"
						   " pg_catalog.format('Run the CREATE FUNCTION, COMMENT, REVOKE and GRANT commands for fortress.%s in " SCRIPT
						   " (MODULE_PATHNAME is $libdir/fortress_guard), and ALTER EXTENSION fortress_guard ADD FUNCTION.', w.name)"
						   " FROM w WHERE NOT EXISTS (SELECT FROM f WHERE f.proname = w.name) "
						   "UNION ALL SELECT 'function ' || f.sig, false, 'fortress_guard has no such function.',"
						   " pg_catalog.format('DROP FUNCTION %s;', f.sig) FROM f WHERE NOT f.ours "
						   "UNION ALL SELECT 'function ' || f.sig, false, 'It does not belong to the extension.',"
						   " pg_catalog.format('ALTER EXTENSION fortress_guard ADD FUNCTION %s;', f.sig) FROM f WHERE f.ours AND NOT f.member "
						   "UNION ALL SELECT 'function ' || f.sig, false, pg_catalog.format('Its owner is %s.', pg_catalog.pg_get_userbyid(f.proowner)),"
						   " pg_catalog.format('ALTER FUNCTION %s OWNER TO %I;', f.sig, pg_catalog.pg_get_userbyid(f.extowner))"
						   " FROM f WHERE f.ours AND f.proowner <> f.extowner "
						   "UNION ALL SELECT 'function ' || f.sig, false, 'It runs with the rights of its owner.',"
						   " pg_catalog.format('ALTER FUNCTION %s SECURITY INVOKER;', f.sig) FROM f WHERE f.ours AND f.prosecdef "
						   "UNION ALL SELECT 'function ' || f.sig, false, pg_catalog.format('It has settings of its own: %s.', pg_catalog.array_to_string(f.proconfig, ', ')),"
						   " pg_catalog.format('ALTER FUNCTION %s RESET ALL;', f.sig) FROM f WHERE f.ours AND f.lanname = 'c' AND f.proconfig IS NOT NULL "
						   "UNION ALL SELECT 'function ' || f.sig, false, 'It has no search_path of its own.',"
						   " pg_catalog.format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp;', f.sig)"
						   " FROM f WHERE f.ours AND f.lanname <> 'c' AND NOT coalesce(f.proconfig::pg_catalog.text ~ 'search_path', false) "
						   "UNION ALL SELECT 'function ' || f.sig, false, pg_catalog.format('It runs %s of %s.', f.prosrc, f.probin),"
						   " pg_catalog.format('Run its command in " SCRIPT " again as CREATE OR REPLACE FUNCTION"
						   " (MODULE_PATHNAME is $libdir/fortress_guard).')"
						   " FROM f WHERE f.ours AND f.lanname = 'c' AND (f.probin <> '$libdir/fortress_guard'"
						   "  OR f.prosrc NOT IN ('fg_' || f.proname, 'fg_' || f.proname || '_sql'))");
	fg_verify_query(findings, "functions",
					psprintf("All %d are as the extension's script made them.", (int) lengthof(functions)),
					sql.data);
}

/* ----------------------------------------------------------------
 *		Relations
 * ----------------------------------------------------------------
 */

/* Is it the kind of relation that the script made, with so many columns? */
static bool
relation_sound(int i)
{
	Oid			relid = get_relname_relid(relations[i].name, fg_catalog_schema());
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		sound = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		sound = form->relkind == relations[i].relkind &&
			form->relpersistence == RELPERSISTENCE_PERMANENT &&
			(form->relkind != RELKIND_RELATION || form->relam == HEAP_TABLE_AM_OID) &&
			(relations[i].n_columns == 0 || form->relnatts == relations[i].n_columns);
		ReleaseSysCache(tuple);
	}
	for (int column = 1; sound && column <= relations[i].n_columns; column++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(column));
		sound = HeapTupleIsValid(tuple) && !((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped;
		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
	}
	return sound;
}

static bool
index_sound(int i)
{
	Oid			relid = get_relname_relid(relations[i].name, fg_catalog_schema());
	Oid			index = get_relname_relid(relations[i].index, fg_catalog_schema());
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		sound = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		sound = form->indrelid == relid && form->indisvalid && form->indisready &&
			form->indislive && form->indisunique;
		ReleaseSysCache(tuple);
	}
	return sound;
}

bool
fg_verify_readable(void)
{
	if (!fg_catalog_present())
		return false;
	for (int i = 0; i < lengthof(relations); i++)
	{
		if (relations[i].relkind == RELKIND_RELATION &&
			(!relation_sound(i) || !index_sound(i)))
			return false;
	}
	return true;
}

static void
verify_list(FgFindings *findings)
{
	const char *fix = "Put it back as " SCRIPT " has it; its rows are in the last backup.";

	for (int i = 0; i < lengthof(relations); i++)
	{
		const char *piece = psprintf("relation fortress.%s", relations[i].name);
		bool		again = i > 0 && strcmp(relations[i].name, relations[i - 1].name) == 0;

		if (!OidIsValid(get_relname_relid(relations[i].name, fg_catalog_schema())))
		{
			if (!again)
				fg_verify_bad(findings, piece, "It is missing.", fix);
			continue;
		}
		if (!again && !relation_sound(i))
			fg_verify_bad(findings, piece, "It is of another kind, or has other columns, than the extension made.", fix);
		if (relations[i].index != NULL && !index_sound(i))
			fg_verify_bad(findings, psprintf("index fortress.%s", relations[i].index),
						  "It is missing or invalid, and the guard reads by it.",
						  OidIsValid(get_relname_relid(relations[i].index, fg_catalog_schema())) ?
						  psprintf("REINDEX INDEX fortress.%s;", relations[i].index) :
						  psprintf("Make constraint %s of table fortress.%s again, as " SCRIPT " has it.",
								   relations[i].index, relations[i].name));
	}
}

void
fg_verify_relations(FgFindings *findings)
{
	StringInfoData sql;

	verify_list(findings);

	initStringInfo(&sql);
	appendStringInfoString(&sql, WITH_EXTENSION ", w AS (SELECT pg_catalog.unnest('{");
	for (int i = 0; i < lengthof(relations); i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? "," : "", relations[i].name);
	appendStringInfoString(&sql,
						   "}'::pg_catalog.name[]) AS name),"
						   " c AS (SELECT r.*, r.oid::pg_catalog.regclass AS name, e.extowner, CASE r.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE'"
						   "  WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS what,"
						   "  " IS_MEMBER("pg_catalog.pg_class", "r.oid") " AS member, r.relname IN (SELECT w.name FROM w) AS ours"
						   "  FROM e JOIN pg_catalog.pg_class r ON r.relnamespace = e.schema WHERE r.relkind NOT IN ('i', 'I', 'c')) "
						   "SELECT 'relation ' || c.name, false, 'fortress_guard has no such relation.',"
						   " pg_catalog.format('DROP %s %s;', c.what, c.name) FROM c WHERE NOT c.ours "
						   "UNION ALL SELECT 'relation ' || c.name, false, 'It does not belong to the extension.',"
						   " pg_catalog.format('ALTER EXTENSION fortress_guard ADD %s %s;', c.what, c.name) FROM c WHERE c.ours AND NOT c.member "
						   "UNION ALL SELECT 'relation ' || c.name, false, pg_catalog.format('Its owner is %s.', pg_catalog.pg_get_userbyid(c.relowner)),"
						   " pg_catalog.format('ALTER %s %s OWNER TO %I;', c.what, c.name, pg_catalog.pg_get_userbyid(c.extowner))"
						   " FROM c WHERE c.ours AND c.relowner <> c.extowner "
						   "UNION ALL SELECT 'relation ' || c.name, false, 'It has row security, and hides rows from who may read it.',"
						   " pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;', c.name)"
						   " FROM c WHERE c.ours AND (c.relrowsecurity OR c.relforcerowsecurity) "
						   "UNION ALL SELECT 'relation ' || c.name, false, pg_catalog.format('It has a trigger %I.', t.tgname),"
						   " pg_catalog.format('DROP TRIGGER %I ON %s;', t.tgname, c.name)"
						   " FROM c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid WHERE c.ours AND NOT t.tgisinternal "
						   "UNION ALL SELECT 'relation ' || c.name, false, pg_catalog.format('It has a rule %I.', u.rulename),"
						   " pg_catalog.format('DROP RULE %I ON %s;', u.rulename, c.name)"
						   " FROM c JOIN pg_catalog.pg_rewrite u ON u.ev_class = c.oid WHERE c.ours AND NOT (c.relkind = 'v' AND u.rulename = '_RETURN')");
	/* it finds nothing more where the list has found something */
	fg_verify_query(findings, "relations",
					fg_verify_readable() ? "All are as the extension's script made them." : NULL,
					sql.data);
}

/* ----------------------------------------------------------------
 *		Rights
 * ----------------------------------------------------------------
 */

/* The roles that approve requests by fortress.require_approval(), "1,2". */
static const char *
approvers(void)
{
	StringInfoData oids;
	ListCell   *lc;

	initStringInfo(&oids);
	if (fg_verify_readable())
	{
		foreach(lc, fg_catalog_rules())
		{
			Oid			role = ((FgApprovalRule *) lfirst(lc))->approvers;

			if (OidIsValid(role))
				appendStringInfo(&oids, "%s%u", oids.len > 0 ? "," : "", role);
		}
	}
	return oids.data;
}

/*
 * Compares the rights on everything of the extension with what the script gave,
 * and fortress.require_approval() for those who approve; and lists what
 * anybody has on archives beyond reading them with one of the roles for it.
 * Grants on columns are never the script's.
 */
void
fg_verify_rights(FgFindings *findings)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql,
						   WITH_EXTENSION ", o AS ("
						   " SELECT 'pg_catalog.pg_class'::pg_catalog.regclass AS class, c.oid, c.relacl AS acl, c.relowner AS owner,"
						   "  CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::pg_catalog.\"char\" AS kind,"
						   "  CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::pg_catalog.regclass AS name"
						   "  FROM e JOIN pg_catalog.pg_class c ON c.relnamespace = e.schema WHERE c.relkind NOT IN ('i', 'I', 'c') AND " IS_MEMBER("pg_catalog.pg_class", "c.oid")
						   " UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proacl, p.proowner, 'f', 'FUNCTION ' || p.oid::pg_catalog.regprocedure"
						   "  FROM e JOIN pg_catalog.pg_proc p ON p.pronamespace = e.schema WHERE " IS_MEMBER("pg_catalog.pg_proc", "p.oid")
						   " UNION ALL SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, n.nspacl, n.nspowner, 'n', 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)"
						   "  FROM e CROSS JOIN pg_catalog.pg_namespace n WHERE n.nspname IN ('fortress', 'fortress_shadow', 'fortress_trash') AND " IS_MEMBER("pg_catalog.pg_namespace", "n.oid") "),"
						   " now AS (SELECT o.name, a.grantee, a.privilege_type, a.is_grantable FROM e CROSS JOIN o"
						   "  CROSS JOIN pg_catalog.aclexplode(coalesce(o.acl, pg_catalog.acldefault(o.kind, o.owner))) a"
						   "  WHERE a.grantee NOT IN (o.owner, e.extowner)),"
						   " made AS (SELECT o.name, a.grantee, a.privilege_type, a.is_grantable"
						   "  FROM e CROSS JOIN o LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = o.class AND i.objoid = o.oid AND i.objsubid = 0"
						   "  CROSS JOIN pg_catalog.aclexplode(coalesce(i.initprivs, pg_catalog.acldefault(o.kind, o.owner))) a"
						   "  WHERE a.grantee NOT IN (o.owner, e.extowner)"
						   "  UNION SELECT o.name, v.role, CASE o.kind WHEN 'f' THEN 'EXECUTE' ELSE 'SELECT' END, false"
						   "  FROM e CROSS JOIN o CROSS JOIN unnest('{");
	appendStringInfoString(&sql, approvers());
	appendStringInfoString(&sql,
						   "}'::pg_catalog.oid[]) v (role)"
						   "  WHERE v.role NOT IN (o.owner, e.extowner) AND (o.oid IN (SELECT p.oid FROM pg_catalog.pg_proc p"
						   "    WHERE p.pronamespace = e.schema AND p.proname IN ('approve_unlock', 'reject_unlock'))"
						   "   OR o.oid = (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = e.schema AND c.relname = 'requests'))),"
						   READERS " extra AS (TABLE now EXCEPT TABLE made"
						   "  UNION ALL SELECT 'TABLE ' || c.oid::pg_catalog.regclass, a.grantee, a.privilege_type, a.is_grantable"
						   "   FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid"
						   "   CROSS JOIN pg_catalog.aclexplode(c.relacl) a"
						   "   WHERE n.nspname = 'fortress_shadow' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.grantee <> c.relowner"
						   "    AND NOT (a.privilege_type = 'SELECT' AND NOT a.is_grantable AND a.grantee IN (SELECT readers.role FROM readers"
						   "     UNION ALL SELECT r.oid FROM pg_catalog.pg_roles r"
						   "     WHERE r.rolname IN ('fortress_admin', 'fortress_operator', 'fortress_auditor')))),"
						   " missing AS (SELECT * FROM made WHERE NOT EXISTS (SELECT FROM now WHERE now.name = made.name"
						   "  AND now.grantee = made.grantee AND now.privilege_type = made.privilege_type)),"
						   " who AS (SELECT r.oid, pg_catalog.quote_ident(r.rolname) AS name FROM pg_catalog.pg_roles r UNION ALL SELECT 0, 'PUBLIC') "
						   "SELECT pg_catalog.format('rights on %s', " LABEL "), false,"
						   " pg_catalog.format('%s has %s%s, which the extension''s script did not give.', coalesce(who.name, x.grantee::pg_catalog.text),"
						   "  pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), CASE WHEN x.is_grantable THEN ' with grant option' END),"
						   " CASE WHEN who.name IS NULL THEN 'Revoke it from that role, which does not exist any more.'"
						   "  ELSE pg_catalog.format('REVOKE %s%s ON %s FROM %s;', CASE WHEN x.is_grantable THEN 'GRANT OPTION FOR ' END,"
						   "   pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), x.name, who.name) END"
						   " FROM extra x LEFT JOIN who ON who.oid = x.grantee"
						   " WHERE NOT x.is_grantable OR EXISTS (SELECT FROM made WHERE made.name = x.name AND made.grantee = x.grantee AND made.privilege_type = x.privilege_type)"
						   " GROUP BY x.name, x.grantee, x.is_grantable, who.name "
						   "UNION ALL SELECT pg_catalog.format('rights on %s', " LABEL "), false,"
						   " pg_catalog.format('%s has %s with grant option, which the extension''s script did not give.', coalesce(who.name, x.grantee::pg_catalog.text),"
						   "  pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)),"
						   " pg_catalog.format('REVOKE %s ON %s FROM %s CASCADE;', pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), x.name, coalesce(who.name, x.grantee::pg_catalog.text))"
						   " FROM extra x LEFT JOIN who ON who.oid = x.grantee"
						   " WHERE x.is_grantable AND NOT EXISTS (SELECT FROM made WHERE made.name = x.name AND made.grantee = x.grantee AND made.privilege_type = x.privilege_type)"
						   " GROUP BY x.name, x.grantee, who.name "
						   "UNION ALL SELECT pg_catalog.format('rights on %s', " LABEL "), false,"
						   " pg_catalog.format('%s lacks %s, which the extension''s script gave.', coalesce(who.name, x.grantee::pg_catalog.text),"
						   "  pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type)),"
						   " CASE WHEN who.name IS NULL THEN 'Make that role again and give it its rights as " SCRIPT " has them.'"
						   "  ELSE pg_catalog.format('GRANT %s ON %s TO %s;', pg_catalog.string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), x.name, who.name) END"
						   " FROM missing x LEFT JOIN who ON who.oid = x.grantee"
						   " GROUP BY x.name, x.grantee, who.name "
						   "UNION ALL SELECT pg_catalog.format('rights on column %s.%I', a.attrelid::pg_catalog.regclass, a.attname), false, 'Rights on this column were granted.',"
						   " pg_catalog.format('REVOKE ALL (%I) ON %s FROM %s;', a.attname, a.attrelid::pg_catalog.regclass,"
						   "  (SELECT pg_catalog.string_agg(DISTINCT coalesce(who.name, x.grantee::pg_catalog.text), ', ') FROM pg_catalog.aclexplode(a.attacl) x LEFT JOIN who ON who.oid = x.grantee))"
						   " FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
						   " WHERE n.nspname IN ('fortress', 'fortress_shadow', 'fortress_trash') AND a.attacl <> '{}' "
						   "UNION ALL SELECT pg_catalog.format('rights in schema %s', n.nspname), false,"
						   " pg_catalog.format('%s gives default rights on what it makes there.', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(f.defaclrole))),"
						   " (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE ALL ON %s FROM %s;',"
						   "  pg_catalog.pg_get_userbyid(f.defaclrole), n.nspname, CASE f.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END,"
						   "  g.name), ' ') FROM (SELECT DISTINCT coalesce(who.name, x.grantee::pg_catalog.text) AS name FROM pg_catalog.aclexplode(f.defaclacl) x LEFT JOIN who ON who.oid = x.grantee) g)"
						   " FROM pg_catalog.pg_default_acl f JOIN pg_catalog.pg_namespace n ON n.oid = f.defaclnamespace"
						   " WHERE n.nspname IN ('fortress', 'fortress_shadow', 'fortress_trash')");
	fg_verify_query(findings, "rights", "They are as the extension's script gave them.", sql.data);
}
