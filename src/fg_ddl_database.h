/*-------------------------------------------------------------------------
 *
 * fg_ddl_database.h
 *		Commands on databases and on the server's settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_DATABASE_H
#define FG_DDL_DATABASE_H

#include "postgres.h"
#include "nodes/nodes.h"
#include "nodes/parsenodes.h"

/*
 * Before any command runs: raises ZG005 for the DROP of a database with
 * protected tables, ZG011 for a RENAME that takes the guard away.  Returns the database that the command wants for itself,
 * which is then free of the guard's worker until fg_ddl_database_end();
 * InvalidOid: none.
 */
extern Oid	fg_ddl_database_begin(Node *stmt);
/* The command has ended; "done": without an error.  Raises none itself. */
extern void fg_ddl_database_end(Oid database, Node *stmt, bool done);

/*
 * Before ALTER SYSTEM runs: raises ZG011 if it would switch the guard off, or
 * open the catalogs, and there is no permission.
 */
extern void fg_ddl_database_check_setting(VariableSetStmt *setting);

#endif							/* FG_DDL_DATABASE_H */
