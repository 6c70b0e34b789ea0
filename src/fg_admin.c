/*-------------------------------------------------------------------------
 *
 * fg_admin.c
 *		protect, unprotect, set_mode, set_limit, drop_limit.
 *
 * Who may: a table's owner may protect it and make its policy stricter; only
 * members of fortress_admin and superusers may weaken or lift one.  Rights are
 * checked here, as the functions are PUBLIC's to call, and what the functions
 * then write goes below SQL, with nobody's rights (fg_catalog.c).
 *
 * Refusals here are errors about rights and arguments (42501, 22023, ...), not
 * the guard's own; but weakening may take a second person, which fg_own.c asks
 * for (ZG011).
 *
 * Locks: ShareRowExclusiveLock on the table and all its partitions first, so
 * that no statement is in mid-air while its policy or triggers change, and two
 * sessions cannot change one policy at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_install.h"
#include "fg_guc.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_trash.h"
#include "fg_types.h"

PG_FUNCTION_INFO_V1(fg_require_preload);
PG_FUNCTION_INFO_V1(fg_protect);
PG_FUNCTION_INFO_V1(fg_unprotect);
PG_FUNCTION_INFO_V1(fg_set_mode);
PG_FUNCTION_INFO_V1(fg_set_limit);
PG_FUNCTION_INFO_V1(fg_drop_limit);

/* ----------------------------------------------------------------
 *		Arguments
 * ----------------------------------------------------------------
 */

static void
require_loaded(void)
{
	if (!fg_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries"),
				 errhint("Add fortress_guard to shared_preload_libraries in postgresql.conf and restart the server.")));
}

static void
null_argument(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", name)));
}

static char *
text_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		null_argument(name);
	return text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

static int64
rows_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	int64		rows = PG_GETARG_INT64(argno);

	if (rows < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", name),
				 errhint("0 means: never without permission.")));
	return rows;
}

/*
 * The relation argument, locked with all that is below it, by a caller who may
 * change its policy.  *admin: also weaken it.
 */
static Oid
relation_argument(FunctionCallInfo fcinfo, bool *admin)
{
	Oid			relid;
	char		relkind;

	require_loaded();
	if (PG_ARGISNULL(0))
		null_argument("relation");
	relid = PG_GETARG_OID(0);
	relkind = get_rel_relkind(relid);
	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));

	*admin = fg_auth_is_admin(GetUserId());
	if (!*admin && !pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relkind), get_rel_name(relid));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be protected", fg_event_relation(relid)),
				 errdetail("It is neither an ordinary nor a partitioned table.")));
	if (IsCatalogRelationOid(relid) || get_rel_namespace(relid) == fg_catalog_schema() ||
		get_rel_namespace(relid) == get_namespace_oid("fortress_shadow", true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" cannot be protected", fg_event_relation(relid)),
				 errdetail("It belongs to the system or to the guard itself.")));
	LockRelationOid(relid, ShareRowExclusiveLock);	/* the next call leaves it out */
	(void) find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return relid;
}

/* The same for whatever may not be done while the table is in the trash. */
static Oid
table_argument(FunctionCallInfo fcinfo, bool *admin)
{
	Oid			relid = relation_argument(fcinfo, admin);

	if (fg_trash_relation(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the policy of \"%s\" cannot be changed while the table is in the trash",
						fg_event_relation(relid)),
				 errhint("Bring it back with fortress.undrop() first.")));
	return relid;
}

/* The relation whose policy governs this one first; InvalidOid if none does. */
static Oid
governing_relation(Oid relid)
{
	FgRelation *entry = fg_policy_lookup(relid);

	return entry != NULL ? entry->policies[0]->relid : InvalidOid;
}

/* The policy of a relation; an error says what is protected instead, if so. */
static FgPolicyRow *
existing_policy(Oid relid)
{
	FgPolicyRow *row = fg_catalog_get_policy(relid);
	Oid			governor;

	if (row != NULL)
		return row;
	governor = governing_relation(relid);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" is not protected", fg_event_relation(relid)),
			 OidIsValid(governor) ?
			 errhint("It is governed by the policy of \"%s\".",
					 fg_event_relation(governor)) :
			 errhint("Protect it with fortress.protect().")));
	return NULL;				/* keep compiler quiet */
}

static void
ask_approval(const char *function, Oid relid)
{
	fg_own_ask_approval(function, psprintf("the policy of table \"%s\"", fg_event_relation(relid)), relid);
}

/* Those who may weaken a policy may need a second person for it. */
static void
refuse_weakening(bool admin, const char *function, Oid relid, const char *what)
{
	if (admin)
	{
		ask_approval(function, relid);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("only members of fortress_admin can weaken the protection of table \"%s\"",
					fg_event_relation(relid)),
			 errdetail("%s", what)));
}

/* Guarded columns from a name array: existing ones, each once. */
static List *
columns_argument(FunctionCallInfo fcinfo, int argno, Oid relid)
{
	Datum	   *names;
	bool	   *nulls;
	int			n_names;
	List	   *columns = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), NAMEOID, NAMEDATALEN, false,
					  TYPALIGN_CHAR, &names, &nulls, &n_names);
	for (int i = 0; i < n_names; i++)
	{
		const char *name = nulls[i] ? NULL : NameStr(*DatumGetName(names[i]));
		ListCell   *lc;
		bool		known = false;

		if (name == NULL)
			null_argument("columns");
		if (get_attnum(relid, name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist",
							name, fg_event_relation(relid))));
		foreach(lc, columns)
			known |= strcmp(lfirst(lc), name) == 0;
		if (!known)
			columns = lappend(columns, pstrdup(name));
	}
	if (columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"columns\" must name at least one column"),
				 errhint("To leave updates unlimited, drop the update limits instead.")));
	return columns;
}

/* ----------------------------------------------------------------
 *		Writing
 * ----------------------------------------------------------------
 */

static FgLimit *
find_limit(List *limits, const FgLimit *like)
{
	ListCell   *lc;

	foreach(lc, limits)
	{
		FgLimit    *limit = lfirst(lc);

		if (limit->op == like->op && limit->per == like->per &&
			limit->interval == like->interval && limit->by == like->by)
			return limit;
	}
	return NULL;
}

/* Is the new limit looser than what there was?  (no limit at all is loosest) */
static bool
limit_weaker(const FgLimit *old, const FgLimit *new)
{
	if (old == NULL)
		return false;
	if (old->max_rows >= 0 && new->max_rows >= 0)
		return new->max_rows > old->max_rows;
	if (old->max_rows < 0 && new->max_rows < 0)
		return new->max_fraction > old->max_fraction;
	return new->max_rows != 0;	/* rows and fractions don't compare, but 0 is least */
}

static void
write_limit(Oid relid, const FgLimit *limit, bool admin, const char *function)
{
	const FgLimit *old = find_limit(fg_catalog_get_limits(relid), limit);

	if (limit_weaker(old, limit))
		refuse_weakening(admin, function, relid, "The new limit would be higher than the one it replaces.");
	fg_catalog_put_limit(relid, limit);
}

/* What a table of a protected schema is given by itself is a policy of its own. */
static void
own_policy(FgPolicyRow *row)
{
	if (row->schema_policy == 0)
		return;
	row->schema_policy = 0;
	fg_catalog_put_policy(row);
}

/* A default as a limit: 0 means none. */
static int64
default_rows(int64 given, int rows)
{
	if (given >= 0)
		return given;
	return rows > 0 ? rows : -1;
}

static bool
columns_weaker(const FgPolicyRow *old, List *new)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (old->all_columns)
		return true;
	foreach(lc, old->columns)
	{
		bool		kept = false;

		foreach(lc2, new)
			kept |= strcmp(lfirst(lc), lfirst(lc2)) == 0;
		if (!kept)
			return true;
	}
	return false;
}

/* ----------------------------------------------------------------
 *		SQL functions
 * ----------------------------------------------------------------
 */

Datum
fg_require_preload(PG_FUNCTION_ARGS)
{
	require_loaded();
	PG_RETURN_VOID();
}

/*
 * protect(relation, mode, delete_rows, update_rows, require_where, archive,
 *		   columns)
 */
Datum
fg_protect(PG_FUNCTION_ARGS)
{
	bool		admin;
	Oid			relid = table_argument(fcinfo, &admin);
	FgPolicyRow *row = fg_catalog_get_policy(relid);
	bool		first = row == NULL;
	int64		delete_rows = PG_ARGISNULL(2) ? -1 : rows_argument(fcinfo, 2, "delete_rows");
	int64		update_rows = PG_ARGISNULL(3) ? -1 : rows_argument(fcinfo, 3, "update_rows");
	FgLimit		limit;

	if (first)
	{
		Oid			governor = governing_relation(relid);

		if (OidIsValid(governor) && get_rel_relispartition(relid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" is a partition of protected table \"%s\"",
							fg_event_relation(relid),
							fg_event_relation(governor)),
					 errhint("It is protected with it; change the policy of that table.")));
		row = palloc0(sizeof(FgPolicyRow));
		row->relid = relid;
		row->mode = FG_MODE_BLOCK;
		row->require_where = true;
		row->archive = FG_ARCHIVE_DELETE | FG_ARCHIVE_UPDATE;
		row->all_columns = true;
	}

	if (!PG_ARGISNULL(1))
	{
		FgMode		mode = fg_parse_mode(text_argument(fcinfo, 1, "mode"));

		if (!first && mode < row->mode)
			refuse_weakening(admin, "fortress.protect()", relid, "The new mode is weaker than the present one.");
		row->mode = mode;
	}
	if (!PG_ARGISNULL(4))
	{
		if (!first && row->require_where && !PG_GETARG_BOOL(4))
			refuse_weakening(admin, "fortress.protect()", relid, "Statements without WHERE would be let through.");
		row->require_where = PG_GETARG_BOOL(4);
	}
	if (!PG_ARGISNULL(5))
	{
		int			archive = fg_parse_archive(text_argument(fcinfo, 5, "archive"));

		if (!first && (row->archive & ~archive) != 0)
			refuse_weakening(admin, "fortress.protect()", relid, "Fewer operations would be archived.");
		row->archive = archive;
	}
	if (!PG_ARGISNULL(6))
	{
		List	   *columns = columns_argument(fcinfo, 6, relid);

		if (!first && columns_weaker(row, columns))
			refuse_weakening(admin, "fortress.protect()", relid, "Fewer columns would be guarded.");
		row->columns = columns;
		row->all_columns = false;
	}

	/* called without anything to change, it only mends what has been damaged */
	for (int i = 1; i < PG_NARGS(); i++)
	{
		if (!PG_ARGISNULL(i))
			row->schema_policy = 0;
	}
	fg_catalog_put_policy(row);
	if (first)
	{
		fg_enact_first_limits(relid, FG_OP_DELETE,
							  default_rows(delete_rows, fg_default_delete_rows),
							  default_rows(-1, fg_default_window_delete_rows));
		fg_enact_first_limits(relid, FG_OP_UPDATE,
							  default_rows(update_rows, fg_default_update_rows),
							  default_rows(-1, fg_default_window_update_rows));
	}
	else
	{
		limit = fg_enact_plain_limit(FG_OP_DELETE, delete_rows);
		if (delete_rows >= 0)
			write_limit(relid, &limit, admin, "fortress.protect()");
		limit = fg_enact_plain_limit(FG_OP_UPDATE, update_rows);
		if (update_rows >= 0)
			write_limit(relid, &limit, admin, "fortress.protect()");
	}
	fg_enact_policy(relid, psprintf("%s: mode %s, require_where %s, archive %s",
									first ? "protected" : "changed",
									fg_mode_name(row->mode),
									row->require_where ? "on" : "off",
									fg_archive_name(row->archive)));
	PG_RETURN_VOID();
}

/* unprotect(relation); triggers that have lost their policy go as well */
Datum
fg_unprotect(PG_FUNCTION_ARGS)
{
	bool		admin;
	Oid			relid;

	fg_auth_require_admin();
	relid = relation_argument(fcinfo, &admin);
	if (OidIsValid(governing_relation(relid)) || !fg_install_any(relid))
		(void) existing_policy(relid);
	ask_approval("fortress.unprotect()", relid);
	fg_policy_changed(relid);
	fg_catalog_delete_policy(relid);
	fg_enact_policy(relid, "unprotected");
	PG_RETURN_VOID();
}

/* set_mode(relation, mode) */
Datum
fg_set_mode(PG_FUNCTION_ARGS)
{
	bool		admin;
	Oid			relid = table_argument(fcinfo, &admin);
	FgPolicyRow *row = existing_policy(relid);
	FgMode		mode = fg_parse_mode(text_argument(fcinfo, 1, "mode"));

	if (mode < row->mode)
		refuse_weakening(admin, "fortress.set_mode()", relid, "The new mode is weaker than the present one.");
	row->mode = mode;
	row->schema_policy = 0;
	fg_catalog_put_policy(row);
	fg_enact_policy(relid, psprintf("mode %s", fg_mode_name(mode)));
	PG_RETURN_VOID();
}

/* The part of set_limit's and drop_limit's arguments that names a limit. */
static FgLimit
limit_arguments(FunctionCallInfo fcinfo, int per_argno, int by_argno)
{
	FgLimit		limit = fg_enact_plain_limit(fg_parse_operation(text_argument(fcinfo, 1, "operation")), -1);

	if (limit.op != FG_OP_DELETE && limit.op != FG_OP_UPDATE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("operation \"%s\" has no row limit", fg_operation_name(limit.op)),
				 errdetail("It always needs permission on a protected table."),
				 errhint("Limits are for delete and update.")));
	fg_parse_per(text_argument(fcinfo, per_argno, "per"), &limit.per, &limit.interval);
	limit.by = fg_parse_by(text_argument(fcinfo, by_argno, "by"));
	return limit;
}

/* set_limit(relation, operation, max_rows, per, by, max_fraction) */
Datum
fg_set_limit(PG_FUNCTION_ARGS)
{
	bool		admin;
	Oid			relid = table_argument(fcinfo, &admin);
	FgLimit		limit = limit_arguments(fcinfo, 3, 4);
	FgPolicyRow *row = existing_policy(relid);

	if (PG_ARGISNULL(2) == PG_ARGISNULL(5))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a limit needs either max_rows or max_fraction"),
				 errhint("Give the one and NULL for the other.")));
	if (!PG_ARGISNULL(2))
		limit.max_rows = rows_argument(fcinfo, 2, "max_rows");
	else
	{
		limit.max_fraction = PG_GETARG_FLOAT8(5);
		if (!(limit.max_fraction >= 0 && limit.max_fraction <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"max_fraction\" must be between 0 and 1")));
	}
	write_limit(relid, &limit, admin, "fortress.set_limit()");
	own_policy(row);
	fg_enact_policy(relid, psprintf("limit %s per %s by %s: %s", fg_operation_name(limit.op),
									fg_per_name(limit.per, limit.interval),
									fg_by_name(limit.by),
									limit.max_rows >= 0 ?
									psprintf(INT64_FORMAT " rows", limit.max_rows) :
									psprintf("fraction %g", limit.max_fraction)));
	PG_RETURN_VOID();
}

/* drop_limit(relation, operation, per, by) */
Datum
fg_drop_limit(PG_FUNCTION_ARGS)
{
	bool		admin;
	Oid			relid;
	FgLimit		limit;
	FgPolicyRow *row;

	fg_auth_require_admin();
	relid = table_argument(fcinfo, &admin);
	limit = limit_arguments(fcinfo, 2, 3);
	row = existing_policy(relid);
	ask_approval("fortress.drop_limit()", relid);
	if (!fg_catalog_delete_limit(relid, &limit))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no limit of %s per %s by %s",
						fg_event_relation(relid), fg_operation_name(limit.op),
						fg_per_name(limit.per, limit.interval), fg_by_name(limit.by))));
	own_policy(row);
	fg_enact_policy(relid, psprintf("limit %s per %s by %s dropped",
									fg_operation_name(limit.op),
									fg_per_name(limit.per, limit.interval),
									fg_by_name(limit.by)));
	PG_RETURN_VOID();
}
