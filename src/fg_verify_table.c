/*-------------------------------------------------------------------------
 *
 * fg_verify_table.c
 *		verify_guard(): what is protected, tables, archives, schemas and
 *		exemptions.
 *
 * There is a row for each table with a policy, which covers its partitions and
 * children, and one for each protected schema.  What must stand on a relation is
 * asked of the same functions that put it there and that check it before a
 * statement; what an archive must look like, of the table's columns: each needs
 * a column of its name and type, or rows that leave the table can't be kept.
 *
 * A table that is locked is not waited for: what can't be looked at is not
 * known.
 *
 * Locks: AccessShareLock on each relation while it is looked at, if it is free.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_catalog_schema.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_label.h"
#include "fg_policy.h"
#include "fg_schema.h"
#include "fg_shadow.h"
#include "fg_types.h"
#include "fg_verify.h"

/* so many names are given, then only a number */
#define MAX_NAMES			5

/* Names for a sentence. */
typedef struct FgNames
{
	StringInfoData text;
	int			n;
} FgNames;

/* What was found on the tree of a policy. */
typedef struct FgTreeState
{
	int			n_relations;
	bool		locked;			/* not all could be looked at */
	FgNames		triggers;		/* relations where they are not as they were made */
	FgNames		archives;		/* what is wrong with archives */
} FgTreeState;

static void
add_name(FgNames *names, const char *name)
{
	if (names->n == 0)
		initStringInfo(&names->text);
	if (names->n < MAX_NAMES)
		appendStringInfo(&names->text, "%s%s", names->n > 0 ? ", " : "", name);
	names->n++;
}

/* "a, b and 3 more"; palloc'd */
static char *
all_names(const FgNames *names)
{
	if (names->n <= MAX_NAMES)
		return names->text.data;
	return psprintf("%s and %d more", names->text.data, names->n - MAX_NAMES);
}

/* Opens a relation if that needs no waiting: false if it does.  *rel is NULL where it is gone. */
static bool
open_free(Oid relid, Relation *rel)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	*rel = try_relation_open(relid, NoLock);
	if (*rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return true;
}

/* ----------------------------------------------------------------
 *		Archives of protected tables
 * ----------------------------------------------------------------
 */

/* Has the archive a live column of this name and type? */
static bool
has_column(TupleDesc desc, Form_pg_attribute like)
{
	for (int i = FG_SHADOW_N_META; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), NameStr(like->attname)) == 0)
			return att->atttypid == getBaseType(like->atttypid);
	}
	return false;
}

/* Do the columns that the guard itself fills stand as fg_shadow.h has them? */
static bool
has_metadata(TupleDesc desc)
{
	static const Oid types[FG_SHADOW_N_META] = {
		TIMESTAMPTZOID, XID8OID, REGROLEOID, REGCLASSOID, INT4OID, INT2OID, CHAROID, CHAROID
	};

	if (desc->natts < FG_SHADOW_N_META)
		return false;
	for (int i = 0; i < FG_SHADOW_N_META; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || att->atttypid != types[i] || !att->attnotnull)
			return false;
	}
	return true;
}

/* What is wrong with the archive of a relation, as a phrase, or NULL; palloc'd. */
static char *
archive_wrong(Relation base, FgTreeState *state)
{
	const char *name = fg_event_relation(RelationGetRelid(base));
	Oid			shadow_oid = fg_catalog_get_shadow(RelationGetRelid(base));
	TupleDesc	desc = RelationGetDescr(base);
	Relation	shadow = NULL;
	char	   *wrong = NULL;

	if (!OidIsValid(shadow_oid))
		return psprintf("%s has none", name);
	if (!open_free(shadow_oid, &shadow))
	{
		state->locked = true;
		return NULL;
	}
	if (shadow == NULL)
		return psprintf("that of %s is gone", name);
	if (shadow->rd_rel->relkind != RELKIND_RELATION || shadow->rd_rel->relam != HEAP_TABLE_AM_OID ||
		!has_metadata(RelationGetDescr(shadow)))
		wrong = psprintf("that of %s is none", name);
	for (int i = 0; i < desc->natts && wrong == NULL; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && !has_column(RelationGetDescr(shadow), att))
			wrong = psprintf("that of %s has no column %s of type %s", name,
							 quote_identifier(NameStr(att->attname)),
							 format_type_be(getBaseType(att->atttypid)));
	}
	relation_close(shadow, AccessShareLock);
	return wrong;
}

/*
 * What was put on archives, whoever's they are: nothing but the guard writes
 * them, and it writes below all of this, but who reads them may be fooled.
 */
void
fg_verify_archives(FgFindings *findings)
{
	fg_verify_query(findings, "archives", "Nothing has been put on them.",
					"WITH c AS (SELECT r.*, r.oid::pg_catalog.regclass AS name, x.extowner FROM pg_catalog.pg_extension x"
					"  CROSS JOIN pg_catalog.pg_namespace n JOIN pg_catalog.pg_class r ON r.relnamespace = n.oid"
					"  WHERE x.extname = 'fortress_guard' AND n.nspname = 'fortress_shadow' AND r.relkind = 'r') "
					"SELECT 'archive ' || c.name, false, pg_catalog.format('Its owner is %s.', pg_catalog.pg_get_userbyid(c.relowner)),"
					" pg_catalog.format('ALTER TABLE %s OWNER TO %I;', c.name, pg_catalog.pg_get_userbyid(c.extowner)) FROM c WHERE c.relowner <> c.extowner "
					"UNION ALL SELECT 'archive ' || c.name, false, 'It is unlogged, and a crash empties it.',"
					" pg_catalog.format('ALTER TABLE %s SET LOGGED;', c.name) FROM c WHERE c.relpersistence <> 'p' "
					"UNION ALL SELECT 'archive ' || c.name, false, 'It has row security, and hides rows.',"
					" pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;', c.name)"
					" FROM c WHERE c.relrowsecurity OR c.relforcerowsecurity "
					"UNION ALL SELECT 'archive ' || c.name, false, pg_catalog.format('It has a trigger %I.', t.tgname),"
					" pg_catalog.format('DROP TRIGGER %I ON %s;', t.tgname, c.name)"
					" FROM c JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal "
					"UNION ALL SELECT 'archive ' || c.name, false, pg_catalog.format('It has a rule %I.', u.rulename),"
					" pg_catalog.format('DROP RULE %I ON %s;', u.rulename, c.name) FROM c JOIN pg_catalog.pg_rewrite u ON u.ev_class = c.oid "
					"UNION ALL SELECT 'archive ' || c.name, false, 'Subscribers can''t follow what retention and restores delete from it.',"
					" pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL;', c.name) FROM c WHERE c.relreplident <> 'f'");
}

/* ----------------------------------------------------------------
 *		Protected tables
 * ----------------------------------------------------------------
 */

/* Looks at a member of a tree. */
static void
look_at_relation(Oid relid, FgTreeState *state)
{
	FgRelation *entry;
	Relation	rel;
	bool		archived = false;
	int			archive;
	bool		by_row;
	char	   *wrong;

	if (!open_free(relid, &rel))
	{
		state->locked = true;
		return;
	}
	if (rel == NULL)
		return;
	state->n_relations++;
	entry = fg_policy_lookup(relid);
	if (entry != NULL)
	{
		/* the entry is good until the next look at a catalog */
		archive = entry->archive;
		by_row = entry->by_row;
		for (int i = 0; i < entry->n_policies; i++)
			archived |= entry->policies[i]->archive != FG_ARCHIVE_NONE &&
				entry->shadow_owners[i] == relid;
		if (!fg_install_intact(rel, archive, by_row))
			add_name(&state->triggers, fg_event_relation(relid));
		if (archived && (wrong = archive_wrong(rel, state)) != NULL)
			add_name(&state->archives, wrong);
	}
	relation_close(rel, AccessShareLock);
}

static void
verify_table(FgFindings *findings, Oid relid)
{
	const char *name = fg_event_relation(relid);
	const char *piece = psprintf("table %s", name);
	char	   *mend = psprintf("SELECT fortress.protect(%s);", quote_literal_cstr(name));
	FgPolicyRow *policy = fg_catalog_get_policy(relid);
	FgTreeState state = {0};
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		look_at_relation(lfirst_oid(lc), &state);
	}
	if (state.triggers.n > 0)
		fg_verify_bad(findings, piece,
					  psprintf("Triggers of the guard are missing, disabled or altered on %s.", all_names(&state.triggers)),
					  mend);
	if (state.archives.n > 0)
		fg_verify_bad(findings, piece,
					  psprintf("Rows cannot be archived: %s.", all_names(&state.archives)), mend);
	if (state.triggers.n > 0 || state.archives.n > 0)
		return;
	if (state.locked || policy == NULL)
		fg_verify_unknown(findings, piece, "Somebody has it locked, a part of it, or its archive.");
	else
		fg_verify_good(findings, piece,
					   psprintf("Mode %s; relations with triggers: %d; archive %s.", fg_mode_name(policy->mode),
								state.n_relations, fg_archive_name(policy->archive)));
}

/* Tables that have triggers of the guard and are governed by no policy: the topmost. */
#define TRIGGERS_ALONE \
	"WITH RECURSIVE g (relid) AS (SELECT p.relation::pg_catalog.oid FROM fortress.policy p" \
	"  UNION SELECT i.inhrelid FROM g JOIN pg_catalog.pg_inherits i ON i.inhparent = g.relid) " \
	"SELECT DISTINCT 'table ' || t.tgrelid::pg_catalog.regclass, false," \
	" 'It has triggers of the guard but no policy, and cannot be written: its policy was removed by a side road, or only its definition was loaded from a dump.'," \
	" pg_catalog.format('SELECT fortress.protect(%%L);', t.tgrelid::pg_catalog.regclass) " \
	"FROM pg_catalog.pg_trigger t WHERE t.tgfoid = %u AND t.tgname ~ '^fortress_guard_'" \
	" AND NOT EXISTS (SELECT FROM g WHERE g.relid = t.tgrelid)" \
	" AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_trigger u ON u.tgrelid = i.inhparent" \
	"  AND u.tgfoid = t.tgfoid AND u.tgname ~ '^fortress_guard_' WHERE i.inhrelid = t.tgrelid)"

static bool
relation_exists(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}

void
fg_verify_tables(FgFindings *findings)
{
	List	   *relids = fg_catalog_policy_relids();
	List	   *archived = fg_catalog_shadow_relids();
	ListCell   *lc;

	list_sort(relids, list_oid_cmp);
	list_sort(archived, list_oid_cmp);
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);

		if (relation_exists(relid))
			verify_table(findings, relid);
		else
			fg_verify_bad(findings, psprintf("policy of relation %u", relid),
						  "There is no such relation.",
						  psprintf("DELETE FROM fortress.row_limit WHERE relation = %u; DELETE FROM fortress.policy WHERE relation = %u;",
								   relid, relid));
	}
	foreach(lc, archived)
	{
		Oid			relid = lfirst_oid(lc);

		if (!relation_exists(relid))
			fg_verify_bad(findings, psprintf("archive of relation %u", relid),
						  "There is no such relation.",
						  psprintf("DELETE FROM fortress.shadow WHERE relation = %u;", relid));
	}
	fg_verify_own_query(findings, NULL, NULL, psprintf(TRIGGERS_ALONE, fg_catalog_guard_function()));
	if (relids == NIL)
		fg_verify_good(findings, "protected tables", "No table of this database is protected.");
}

/* ----------------------------------------------------------------
 *		Protected schemas, exemptions
 * ----------------------------------------------------------------
 */

static void
verify_schema(FgFindings *findings, const FgSchemaRow *row)
{
	const char *literal = quote_literal_cstr(quote_identifier(row->name));
	const char *piece = psprintf("protected schema %s", quote_identifier(row->name));
	FgNames		names = {.n = 0};
	char	   *present;
	ListCell   *lc;

	if (!OidIsValid(row->schema))
	{
		fg_verify_bad(findings, piece, "It is protected, but there is no such schema.",
					  psprintf("CREATE SCHEMA %s; SELECT fortress.unprotect_schema(%s);",
							   quote_identifier(row->name), literal));
		return;
	}
	present = get_namespace_name(row->schema);
	if (present != NULL && strcmp(present, row->name) != 0)
	{
		piece = psprintf("protected schema %s", quote_identifier(present));
		fg_verify_bad(findings, piece,
					  psprintf("It is protected under its former name %s, and a dump would not protect it.",
							   quote_identifier(row->name)),
					  psprintf("SELECT fortress.protect_schema(%s);",
							   quote_literal_cstr(quote_identifier(present))));
		return;
	}
	foreach(lc, fg_schema_unprotected(row->schema))
		add_name(&names, fg_event_relation(lfirst_oid(lc)));
	if (names.n > 0)
		fg_verify_bad(findings, piece,
					  psprintf("It is protected, but these tables in it are not: %s.", all_names(&names)),
					  psprintf("SELECT fortress.protect_schema(%s);", literal));
	else
		fg_verify_good(findings, piece,
					   psprintf("It is protected with all its tables, mode %s.", fg_mode_name(row->mode)));
}

void
fg_verify_protected_schemas(FgFindings *findings)
{
	ListCell   *lc;

	foreach(lc, fg_catalog_schemas())
		verify_schema(findings, lfirst(lc));
}

/* The roles and relations of exemptions that are in force. */
void
fg_verify_exemptions(FgFindings *findings)
{
	fg_verify_own_query(findings, "exemptions", "Their roles and relations are there.",
						psprintf("WITH e AS (SELECT x.* FROM fortress.exemption x WHERE x.ended_at IS NULL"
								 "  AND (x.valid_until IS NULL OR x.valid_until > pg_catalog.clock_timestamp())) "
								 "SELECT pg_catalog.format('exemption %%s', e.id), false,"
								 " pg_catalog.format('Its %%s does not exist any more.', CASE WHEN r.oid IS NULL THEN 'role, ' || pg_catalog.quote_ident(e.role_name)"
								 "  ELSE 'relation, ' || e.relation::pg_catalog.oid END || ','),"
								 " pg_catalog.format('SELECT fortress.revoke_exemption(%%s);', e.id)"
								 " FROM e LEFT JOIN pg_catalog.pg_roles r ON CASE WHEN e.role_system = " INT64_FORMAT
								 "  THEN r.oid = e.role_oid ELSE r.rolname = e.role_name END"
								 " LEFT JOIN pg_catalog.pg_class c ON c.oid = e.relation"
								 " WHERE r.oid IS NULL OR (e.relation IS NOT NULL AND c.oid IS NULL)",
								 (int64) GetSystemIdentifier()));
}

/*
 * Other databases know by its label that this one has protected tables.  They
 * know exempt roles, and those that approve requests, by theirs; a role whose
 * label is lost is left to CREATEROLE.
 */
void
fg_verify_labels(FgFindings *findings)
{
	List	   *relids = fg_catalog_policy_relids();
	List	   *labelled = fg_label_exempt_roles();
	StringInfoData oids;
	ListCell   *lc;

	list_sort(relids, list_oid_cmp);
	if (relids != NIL && !fg_label_protected(MyDatabaseId))
		fg_verify_bad(findings, "label of the database",
					  "It does not say that there are protected tables here, and whoever owns the database could drop it.",
					  psprintf("SELECT fortress.protect(%s);",
							   quote_literal_cstr(fg_event_relation(linitial_oid(relids)))));
	else
		fg_verify_good(findings, "label of the database",
					   relids == NIL ? "It is not needed." : "It says that there are protected tables here.");

	initStringInfo(&oids);
	foreach(lc, labelled)
		appendStringInfo(&oids, "%s%u", oids.len > 0 ? "," : "", lfirst_oid(lc));
	fg_verify_own_query(findings, "labels of exempt roles", "All of them have one.",
						psprintf("SELECT pg_catalog.format('label of role %%I', r.rolname), false, 'It does not say that the role is exempt here, or approves requests.',"
								 " pg_catalog.format('SELECT fortress.revoke_exemption(fortress.exempt(%%L));', pg_catalog.quote_ident(r.rolname))"
								 " FROM pg_catalog.pg_roles r WHERE r.oid <> ALL ('{%s}'::pg_catalog.oid[])"
								 "  AND (EXISTS (SELECT FROM fortress.exemption e WHERE e.ended_at IS NULL"
								 "   AND (e.valid_until IS NULL OR e.valid_until > pg_catalog.clock_timestamp())"
								 "   AND CASE WHEN e.role_system = " INT64_FORMAT " THEN r.oid = e.role_oid ELSE r.rolname = e.role_name END)"
								 "  OR EXISTS (SELECT FROM fortress.approval_rule a"
								 "   WHERE CASE WHEN a.approvers_system = " INT64_FORMAT " THEN r.oid = a.approvers_oid ELSE r.rolname = a.approvers_name END))",
								 oids.data, (int64) GetSystemIdentifier(), (int64) GetSystemIdentifier()));
}
