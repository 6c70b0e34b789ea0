/*-------------------------------------------------------------------------
 *
 * fg_ddl_database.h
 *		Commands that need a database for themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_DATABASE_H
#define FG_DDL_DATABASE_H

#include "postgres.h"
#include "nodes/nodes.h"

/*
 * The database that the command wants for itself, which is then free of the
 * guard's worker until fg_ddl_database_end(); InvalidOid: none.
 */
extern Oid	fg_ddl_database_begin(Node *stmt);
/* The command has ended; "done": without an error.  Raises none itself. */
extern void fg_ddl_database_end(Oid database, Node *stmt, bool done);

#endif							/* FG_DDL_DATABASE_H */
