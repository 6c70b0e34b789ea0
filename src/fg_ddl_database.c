/*-------------------------------------------------------------------------
 *
 * fg_ddl_database.c
 *		Commands on databases and on the server's settings.
 *
 * Refused here:
 *
 *	DROP DATABASE of one with protected tables (ZG005), from whatever database
 *	ALTER DATABASE RENAME of one to a name that is not guarded (ZG011, unless
 *			there is permission for "admin")
 *	ALTER SYSTEM that takes fortress_guard from shared_preload_libraries,
 *			switches track_counts off or allow_system_table_mods on, or says
 *			where libraries are looked for (the same)
 *
 * A database can't be dropped from inside, and outside no token of it can be
 * redeemed.  So fortress.allow_drop_database() writes into the database's label
 * (fg_label.c), which all others can read, until when it may be dropped; the
 * label goes with it.  What is refused is recorded in the journal of the
 * database that was to be dropped.  Other RENAMEs, OWNER TO, SET TABLESPACE and copying
 * it as a template destroy nothing, and pass.
 *
 * Settings of the configuration file belong to whoever has the machine; ALTER
 * SYSTEM writes another file, with SQL.  The guard's own settings are not
 * permitted there (fg_guc.c).
 *
 * DROP DATABASE, CREATE DATABASE with a template, ALTER DATABASE RENAME TO and
 * SET TABLESPACE fail while anybody is connected.  The guard's worker must not
 * be what stands in their way, so it is sent off for as long as the command
 * runs.  What is in the journal waits, or goes with the database.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "fg_compat.h"
#include "fg_ddl_database.h"
#include "fg_decide.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_journal.h"
#include "fg_label.h"
#include "fg_own.h"

PG_FUNCTION_INFO_V1(fg_allow_drop_database);

#define LIBRARY				"fortress_guard"

/* ----------------------------------------------------------------
 *		DROP DATABASE
 * ----------------------------------------------------------------
 */

/*
 * Whoever may not drop the database anyway is told so by the server.
 */
static void
check_drop(const char *name)
{
	Oid			database = get_database_oid(name, true);
	FgRequest	request = {.question = FG_ASK_DATABASE,.op = FG_OP_DDL};
	FgVerdict	verdict;

	if (!OidIsValid(database) || database == MyDatabaseId || !fg_own_cluster_guarded() ||
		fg_guc_name_ignored(name) || !pg_database_ownercheck(database, GetUserId()) ||
		!fg_label_protected(database) || fg_label_may_drop(database))
		return;
	request.role = GetUserId();
	request.what = "DROP DATABASE";
	request.object = psprintf("database \"%s\"", name);
	request.database = database;
	fg_decide(&request, &verdict);
}

/* A name that fortress.ignore_databases matches takes the guard away. */
static void
check_rename(const char *name, const char *new_name)
{
	Oid			database = get_database_oid(name, true);

	if (OidIsValid(database) && fg_own_cluster_guarded() && fg_guc_name_ignored(new_name) &&
		!fg_guc_name_ignored(name) && fg_label_protected(database))
		fg_own_ask_cluster("ALTER DATABASE", psprintf("database \"%s\"", name),
						   psprintf("A database of the name \"%s\" is not guarded: fortress.ignore_databases matches it.",
									new_name));
}

/*
 * fortress.allow_drop_database(valid_for)
 */
Datum
fg_allow_drop_database(PG_FUNCTION_ARGS)
{
	FgEvent		event = {.name = "policy_changed",.rows = -1,.max_rows = -1};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until;

	fg_own_require_admin("fortress.allow_drop_database()",
						 psprintf("database \"%s\"", get_database_name(MyDatabaseId)), InvalidOid);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"valid_for\" must not be null")));
	until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													TimestampTzGetDatum(now),
													PG_GETARG_DATUM(0)));
	if (until <= now || TIMESTAMP_NOT_FINITE(until))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"valid_for\" must be greater than zero")));
	if (!fg_label_allow_drop(until))
	{
		ereport(NOTICE,
				(errmsg("this database has no protected tables: it can be dropped as it is")));
		PG_RETURN_VOID();
	}
	event.role = GetUserId();
	event.detail = psprintf("the database may be dropped until %s", timestamptz_to_str(until));
	fg_event_queue(&event, true);
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		Databases that are wanted alone
 * ----------------------------------------------------------------
 */

/* The database that CREATE DATABASE copies. */
static const char *
template_name(const CreatedbStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
moves_tablespace(const AlterDatabaseStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/*
 * Those who may not do it get their error from the server; they must not be
 * able to keep the worker away by asking.
 */
static bool
may_have(Node *stmt, Oid database)
{
	HeapTuple	tuple;
	bool		may;

	if (fg_compat_owns_database(database))
		return true;
	if (!IsA(stmt, CreatedbStmt))
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	may = may && ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

Oid
fg_ddl_database_begin(Node *stmt)
{
	const char *name = NULL;
	Oid			database;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) stmt)->dbname;
			check_drop(name);
			break;
		case T_CreatedbStmt:
			name = template_name((CreatedbStmt *) stmt);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
			{
				name = ((RenameStmt *) stmt)->subname;
				check_rename(name, ((RenameStmt *) stmt)->newname);
			}
			break;
		case T_AlterDatabaseStmt:
			if (moves_tablespace((AlterDatabaseStmt *) stmt))
				name = ((AlterDatabaseStmt *) stmt)->dbname;
			break;
		default:
			break;
	}
	if (name == NULL || !fg_preloaded)
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || !may_have(stmt, database))
		return InvalidOid;
	fg_journal_hold(database);
	return database;
}

void
fg_ddl_database_end(Oid database, Node *stmt, bool done)
{
	if (done && IsA(stmt, DropdbStmt))
		fg_journal_forget(database);
	fg_journal_release(database);
}

/* ----------------------------------------------------------------
 *		ALTER SYSTEM
 * ----------------------------------------------------------------
 */

/* Is the library among those of a value of shared_preload_libraries? */
static bool
preloads_guard(const char *value)
{
	List	   *names = NIL;
	ListCell   *lc;
	bool		found = false;

	if (value == NULL || !SplitDirectoriesString(pstrdup(value), ',', &names))
		return false;
	foreach(lc, names)
	{
		const char *name = lfirst(lc);

		if (strncmp(name, "$libdir/", 8) == 0)
			name += 8;
		found |= strcmp(name, LIBRARY) == 0 || strcmp(name, LIBRARY DLSUFFIX) == 0;
	}
	return found;
}

/* Is it ALTER SYSTEM that preloads the library, rather than the configuration file? */
static bool
auto_file_preloads_guard(void)
{
	FILE	   *file = AllocateFile(PG_AUTOCONF_FILENAME, "r");
	ConfigVariable *head = NULL;
	ConfigVariable *tail = NULL;
	bool		found = false;

	if (file == NULL)
		return errno != ENOENT;
	if (!ParseConfigFp(file, PG_AUTOCONF_FILENAME, 0, LOG, &head, &tail))
		found = true;
	FreeFile(file);
	for (ConfigVariable *item = head; item != NULL; item = item->next)
	{
		if (item->name != NULL && pg_strcasecmp(item->name, "shared_preload_libraries") == 0)
			found |= preloads_guard(item->value);
	}
	FreeConfigVariables(head);
	return found;
}

/* What a change of a setting does to the guard, as a sentence; NULL: nothing. */
static const char *
harm_of_setting(VariableSetStmt *setting)
{
	const char *name = setting->name != NULL ? setting->name : "";
	bool		all = setting->kind == VAR_RESET_ALL;
	char	   *value = NULL;
	bool		on;

	if (setting->kind == VAR_SET_VALUE)
		value = ExtractSetVariableArgs(setting);
	if (all || pg_strcasecmp(name, "shared_preload_libraries") == 0)
	{
		if (value != NULL ? !preloads_guard(value) : auto_file_preloads_guard())
			return "The server would start without fortress_guard.";
	}
	else if (value == NULL)
		return NULL;
	else if (pg_strcasecmp(name, "dynamic_library_path") == 0)
		return "The server could take another library for fortress_guard.";
	else if (pg_strcasecmp(name, "track_counts") == 0)
	{
		if (parse_bool(value, &on) && !on)
			return "The rows that a statement changes would not be counted.";
	}
	else if (pg_strcasecmp(name, "allow_system_table_mods") == 0)
	{
		if (parse_bool(value, &on) && on)
			return "The structure of the catalogs would be open to changes.";
	}
	return NULL;
}

void
fg_ddl_database_check_setting(VariableSetStmt *setting)
{
	const char *harm;

	if (!fg_own_cluster_guarded() || !OidIsValid(fg_label_any_protected()))
		return;
	harm = harm_of_setting(setting);
	if (harm != NULL)
		fg_own_ask_cluster("ALTER SYSTEM",
						   setting->kind == VAR_RESET_ALL ? "the configuration" :
						   psprintf("setting \"%s\"", setting->name), harm);
}
