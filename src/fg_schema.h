/*-------------------------------------------------------------------------
 *
 * fg_schema.h
 *		Schemas whose tables are protected, those to come included.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_SCHEMA_H
#define FG_SCHEMA_H

#include "postgres.h"
#include "nodes/pg_list.h"

/*
 * A table was made, moved or restored into its schema, or has left the tree
 * that governed it: protects it if the schema is protected and nothing governs
 * it yet.  Call it at the end of the command, when the table is visible; any
 * relation will do, of any kind.  A table that cannot be protected raises a
 * WARNING.
 */
extern void fg_schema_follow(Oid relid);
/* A schema is being dropped: what was said of it goes with it. */
extern void fg_schema_dropped(Oid schema);
/* A schema has got another name; the new one is visible. */
extern void fg_schema_renamed(Oid schema, const char *old_name);
/* The tables of a schema that could have a policy and that none governs: oids. */
extern List *fg_schema_unprotected(Oid schema);

#endif							/* FG_SCHEMA_H */
