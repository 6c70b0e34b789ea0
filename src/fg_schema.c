/*-------------------------------------------------------------------------
 *
 * fg_schema.c
 *		protect_schema, unprotect_schema, and what tables are given that come
 *		into a protected schema.
 *
 * A schema has no rows to guard; its tables have.  So a protected schema is a
 * policy in waiting: every table that is there, and every one that is created,
 * moved or restored into it, is given an ordinary policy of its own with the
 * schema's values, in the same transaction, and everything else in the guard
 * knows tables only.  Such a policy remembers which schema gave it.  It follows
 * later calls of protect_schema() and ends with unprotect_schema(), until
 * somebody sets something for that table alone: then it is the table's own and
 * stays.  A table that is moved out of the schema takes its policy along.
 *
 * Left out are temporary and foreign tables, and what is governed already: the
 * partitions and children of protected tables.  A table that the guard cannot
 * protect (another access method, too many columns) raises a WARNING and is left
 * as it is, whether it is found there or made there: refusing CREATE TABLE is
 * not what somebody asked for who protects rows.  Any other error is one.
 *
 * The functions are for fortress_admin and superusers, who need not own the
 * tables.  Whoever makes a table in a protected schema needs no right but that
 * to make it.  Refusals here are errors about rights and arguments.
 *
 * Locks: AccessExclusiveLock on the schema first, to the end of the transaction:
 * whoever makes a table in it or moves one there has AccessShareLock on it, so
 * that no table comes in between looking and writing.  Then
 * ShareRowExclusiveLock on each table and what is below it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "fg_apply.h"
#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_catalog_schema.h"
#include "fg_enact.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_schema.h"
#include "fg_types.h"

PG_FUNCTION_INFO_V1(fg_protect_schema);
PG_FUNCTION_INFO_V1(fg_unprotect_schema);

/* A table of a schema, and how many are above it. */
typedef struct FgSchemaTable
{
	Oid			relid;
	int			n_ancestors;
} FgSchemaTable;

/* ----------------------------------------------------------------
 *		The tables of a schema
 * ----------------------------------------------------------------
 */

/* Can a relation of this kind have a policy at all? */
static bool
may_have_policy(char relkind, char persistence)
{
	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		persistence != RELPERSISTENCE_TEMP;
}

static int
compare_tables(const ListCell *a, const ListCell *b)
{
	const FgSchemaTable *table_a = lfirst(a);
	const FgSchemaTable *table_b = lfirst(b);

	if (table_a->n_ancestors != table_b->n_ancestors)
		return table_a->n_ancestors < table_b->n_ancestors ? -1 : 1;
	if (table_a->relid != table_b->relid)
		return table_a->relid < table_b->relid ? -1 : 1;
	return 0;
}

/*
 * The tables of a schema that can have a policy: oids.  What is above a table
 * comes before it.
 */
static List *
tables_of(Oid schema)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *tables = NIL;
	List	   *relids = NIL;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(schema));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		FgSchemaTable *table;

		if (!may_have_policy(form->relkind, form->relpersistence))
			continue;
		table = palloc(sizeof(FgSchemaTable));
		table->relid = form->oid;
		tables = lappend(tables, table);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);

	foreach(lc, tables)
	{
		FgSchemaTable *table = lfirst(lc);

		table->n_ancestors = list_length(fg_policy_ancestors(table->relid));
	}
	list_sort(tables, compare_tables);
	foreach(lc, tables)
		relids = lappend_oid(relids, ((FgSchemaTable *) lfirst(lc))->relid);
	list_free_deep(tables);
	return relids;
}

List *
fg_schema_unprotected(Oid schema)
{
	List	   *found = NIL;
	ListCell   *lc;

	foreach(lc, tables_of(schema))
	{
		if (fg_policy_lookup(lfirst_oid(lc)) == NULL)
			found = lappend_oid(found, lfirst_oid(lc));
	}
	return found;
}

/* Locks a relation and all below it; false if it is gone. */
static bool
lock_tree(Oid relid)
{
	LockRelationOid(relid, ShareRowExclusiveLock);	/* the next call leaves it out */
	(void) find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	return get_rel_name(relid) != NULL;
}

/* ----------------------------------------------------------------
 *		Giving policies
 * ----------------------------------------------------------------
 */

/* "mode block, require_where on, archive delete,update"; palloc'd */
static char *
describe(const FgSchemaRow *schema)
{
	return psprintf("mode %s, require_where %s, archive %s", fg_mode_name(schema->mode),
					schema->require_where ? "on" : "off", fg_archive_name(schema->archive));
}

static void
fill_policy(FgPolicyRow *row, const FgSchemaRow *schema)
{
	row->mode = schema->mode;
	row->require_where = schema->require_where;
	row->archive = schema->archive;
	row->all_columns = true;
	row->schema_policy = schema->id;
}

static void
give_policy(Oid relid, const FgSchemaRow *schema)
{
	FgPolicyRow row = {.relid = relid};

	fill_policy(&row, schema);
	fg_catalog_put_policy(&row);
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		fg_enact_first_limits(relid, (FgOperation) op, schema->rows[op], schema->hourly_rows[op]);
	fg_enact_policy(relid, psprintf("protected with schema %s: %s",
									quote_identifier(schema->name), describe(schema)));
}

/* Does the guard refuse to protect a table by this error?  See fg_apply.c, fg_shadow_ddl.c. */
static bool
means_unprotectable(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_FEATURE_NOT_SUPPORTED ||
		sqlerrcode == ERRCODE_WRONG_OBJECT_TYPE ||
		sqlerrcode == ERRCODE_TOO_MANY_COLUMNS ||
		sqlerrcode == ERRCODE_RESERVED_NAME;
}

static void
warn_unprotected(Oid relid, const FgSchemaRow *schema, const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("table \"%s\" is not protected, though schema \"%s\" is: %s",
					fg_event_relation(relid), schema->name, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0));
}

/*
 * Protects a table with what its schema gives, or warns that it can't be.
 * False: it is not protected.
 */
static bool
try_give_policy(Oid relid, const FgSchemaRow *schema)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool given = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (lock_tree(relid))
		{
			give_policy(relid, schema);
			given = true;
		}
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!means_unprotectable(error->sqlerrcode))
			ReThrowError(error);
		given = false;
		warn_unprotected(relid, schema, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return given;
}

/* Brings a policy that the schema gave up to what the schema says now. */
static void
renew_policy(FgPolicyRow *row, const FgSchemaRow *schema, bool changed)
{
	if (!lock_tree(row->relid))
		return;
	if (!changed)
	{
		fg_apply_tree(row->relid);	/* mends what has been damaged */
		return;
	}
	fill_policy(row, schema);
	fg_catalog_put_policy(row);
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		FgLimit		limit = fg_enact_plain_limit((FgOperation) op, schema->rows[op]);

		if (limit.max_rows >= 0)
			fg_catalog_put_limit(row->relid, &limit);
	}
	fg_enact_policy(row->relid, psprintf("changed with schema %s: %s",
										 quote_identifier(schema->name), describe(schema)));
}

/* Goes through the tables of a schema; returns how many came under protection. */
static int64
give_policies(const FgSchemaRow *schema, bool changed)
{
	int64		n_given = 0;
	ListCell   *lc;

	foreach(lc, tables_of(schema->schema))
	{
		Oid			relid = lfirst_oid(lc);
		FgPolicyRow *row = fg_catalog_get_policy(relid);

		CHECK_FOR_INTERRUPTS();
		if (row != NULL && row->schema_policy == schema->id)
			renew_policy(row, schema, changed);
		else if (row == NULL && fg_policy_lookup(relid) == NULL &&
				 try_give_policy(relid, schema))
			n_given++;
	}
	return n_given;
}

static void
queue_event(const char *detail)
{
	FgEvent		event = {.name = "policy_changed",.rows = -1,.max_rows = -1};

	event.role = GetUserId();
	event.detail = detail;
	fg_event_queue(&event, true);
}

/* ----------------------------------------------------------------
 *		What becomes of tables and schemas
 * ----------------------------------------------------------------
 */

/* Is it a schema of the system, of sessions, or of the guard, or none? */
static bool
is_reserved(Oid schema)
{
	static const char *const names[] = {
		"information_schema", "fortress", "fortress_shadow", "fortress_trash"
	};
	const char *name = get_namespace_name(schema);

	if (name == NULL || IsCatalogNamespace(schema) || IsToastNamespace(schema) || isAnyTempNamespace(schema))
		return true;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

void
fg_schema_follow(Oid relid)
{
	FgSchemaRow *schema;

	if (!OidIsValid(relid) || !fg_policy_active() || fg_install_own_work())
		return;
	if (!may_have_policy(get_rel_relkind(relid), get_rel_persistence(relid)) ||
		is_reserved(get_rel_namespace(relid)))
		return;
	schema = fg_catalog_get_schema(get_rel_namespace(relid));
	if (schema == NULL)
		return;
	fg_policy_changed(relid);	/* it may have been looked up in mid-command */
	if (fg_policy_lookup(relid) == NULL)
		(void) try_give_policy(relid, schema);
}

/* Tables that were moved out, and still have what the schema gave, keep it as their own. */
static void
forget_schema(const FgSchemaRow *schema)
{
	ListCell   *lc;

	foreach(lc, fg_catalog_policy_relids())
	{
		FgPolicyRow *row = fg_catalog_get_policy(lfirst_oid(lc));

		if (row == NULL || row->schema_policy != schema->id)
			continue;
		row->schema_policy = 0;
		fg_catalog_put_policy(row);
	}
	fg_catalog_delete_schema(schema->id);
}

void
fg_schema_dropped(Oid schema)
{
	FgSchemaRow *row;

	/* where the extension is dropped too, its tables may be gone already */
	if (!fg_policy_active() || is_reserved(schema) ||
		!OidIsValid(get_relname_relid("schema_policy", fg_catalog_schema())))
		return;
	row = fg_catalog_get_schema(schema);
	if (row == NULL)
		return;
	forget_schema(row);
	queue_event(psprintf("protected schema %s is dropped", quote_identifier(row->name)));
}

void
fg_schema_renamed(Oid schema, const char *old_name)
{
	char	   *name = get_namespace_name(schema);
	ListCell   *lc;

	if (!fg_policy_active() || name == NULL)
		return;
	foreach(lc, fg_catalog_schemas())
	{
		FgSchemaRow *row = lfirst(lc);

		if (row->by_name ? strcmp(row->name, old_name) != 0 : row->schema != schema)
			continue;
		row->schema = schema;
		row->name = name;
		fg_catalog_put_schema(row);
		queue_event(psprintf("protected schema %s is now %s",
							 quote_identifier(old_name), quote_identifier(name)));
	}
}

/* ----------------------------------------------------------------
 *		SQL functions
 * ----------------------------------------------------------------
 */

/*
 * The schema argument, locked so that no table comes or goes, by a caller who
 * may protect it.  *name: palloc'd.
 */
static Oid
schema_argument(FunctionCallInfo fcinfo, char **name)
{
	Oid			schema;

	if (!fg_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries"),
				 errhint("Add fortress_guard to shared_preload_libraries in postgresql.conf and restart the server.")));
	fg_auth_require_admin();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "schema")));
	schema = PG_GETARG_OID(0);
	LockDatabaseObject(NamespaceRelationId, schema, 0, AccessExclusiveLock);
	*name = get_namespace_name(schema);
	if (*name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", schema)));
	if (is_reserved(schema))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("schema \"%s\" cannot be protected", *name),
				 errdetail("It belongs to the system, to sessions or to the guard itself.")));
	return schema;
}

/* A bound as an argument; -1: not given. */
static int64
rows_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		return -1;
	if (PG_GETARG_INT64(argno) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", name),
				 errhint("0 means: never without permission.")));
	return PG_GETARG_INT64(argno);
}

/* A default as a limit: 0 means none. */
static int64
default_rows(int rows)
{
	return rows > 0 ? rows : -1;
}

/* Would what the schema gives to its tables be weaker than before? */
static bool
weaker(const FgSchemaRow *old, const FgSchemaRow *new)
{
	bool		more_rows = false;

	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		more_rows |= old->rows[op] >= 0 && (new->rows[op] < 0 || new->rows[op] > old->rows[op]);
	return more_rows || new->mode < old->mode || (old->require_where && !new->require_where) ||
		(old->archive & ~new->archive) != 0;
}

static void
ask_approval(const char *function, const char *name)
{
	fg_own_ask_approval(function, psprintf("the policy of schema \"%s\"", name), InvalidOid);
}

/* What protects a schema for the first time, as protect() does for a table. */
static FgSchemaRow *
new_schema(Oid schema)
{
	FgSchemaRow *row = palloc0(sizeof(FgSchemaRow));

	row->schema = schema;
	row->mode = FG_MODE_BLOCK;
	row->require_where = true;
	row->archive = FG_ARCHIVE_DELETE | FG_ARCHIVE_UPDATE;
	row->rows[FG_OP_DELETE] = default_rows(fg_default_delete_rows);
	row->rows[FG_OP_UPDATE] = default_rows(fg_default_update_rows);
	row->hourly_rows[FG_OP_DELETE] = default_rows(fg_default_window_delete_rows);
	row->hourly_rows[FG_OP_UPDATE] = default_rows(fg_default_window_update_rows);
	return row;
}

/*
 * protect_schema(schema, mode, delete_rows, update_rows, require_where, archive)
 */
Datum
fg_protect_schema(PG_FUNCTION_ARGS)
{
	char	   *name;
	Oid			schema = schema_argument(fcinfo, &name);
	FgSchemaRow *row = fg_catalog_get_schema(schema);
	bool		first = row == NULL;
	bool		changed = first;
	int64		rows[FG_N_ROW_OPERATIONS];
	int64		n_given;
	FgSchemaRow old;

	rows[FG_OP_DELETE] = rows_argument(fcinfo, 2, "delete_rows");
	rows[FG_OP_UPDATE] = rows_argument(fcinfo, 3, "update_rows");
	if (first)
		row = new_schema(schema);
	old = *row;
	row->name = name;
	for (int i = 1; i < PG_NARGS(); i++)
		changed |= !PG_ARGISNULL(i);
	if (!PG_ARGISNULL(1))
		row->mode = fg_parse_mode(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(4))
		row->require_where = PG_GETARG_BOOL(4);
	if (!PG_ARGISNULL(5))
		row->archive = fg_parse_archive(text_to_cstring(PG_GETARG_TEXT_PP(5)));
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		if (rows[op] >= 0)
			row->rows[op] = rows[op];
	}
	if (!first && weaker(&old, row))
		ask_approval("fortress.protect_schema()", name);

	fg_catalog_put_schema(row);
	n_given = give_policies(row, changed);
	queue_event(psprintf("schema %s %s: %s; tables that came under protection: " INT64_FORMAT,
						 quote_identifier(name), first ? "protected" : "changed",
						 describe(row), n_given));
	PG_RETURN_INT64(n_given);
}

/* unprotect_schema(schema) */
Datum
fg_unprotect_schema(PG_FUNCTION_ARGS)
{
	char	   *name;
	Oid			schema = schema_argument(fcinfo, &name);
	FgSchemaRow *row = fg_catalog_get_schema(schema);
	ListCell   *lc;

	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" is not protected", name),
				 errhint("Single tables are released with fortress.unprotect().")));
	ask_approval("fortress.unprotect_schema()", name);

	foreach(lc, tables_of(schema))
	{
		Oid			relid = lfirst_oid(lc);
		FgPolicyRow *policy = fg_catalog_get_policy(relid);

		CHECK_FOR_INTERRUPTS();
		if (policy == NULL || policy->schema_policy != row->id || !lock_tree(relid))
			continue;
		fg_policy_changed(relid);
		fg_catalog_delete_policy(relid);
		fg_enact_policy(relid, psprintf("unprotected with schema %s", quote_identifier(name)));
	}
	forget_schema(row);
	queue_event(psprintf("schema %s unprotected", quote_identifier(name)));
	PG_RETURN_VOID();
}
