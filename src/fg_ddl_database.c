/*-------------------------------------------------------------------------
 *
 * fg_ddl_database.c
 *		Commands that need a database for themselves.
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
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/syscache.h"

#include "fg_compat.h"
#include "fg_ddl_database.h"
#include "fg_guc.h"
#include "fg_journal.h"

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
			break;
		case T_CreatedbStmt:
			name = template_name((CreatedbStmt *) stmt);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) stmt)->subname;
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
