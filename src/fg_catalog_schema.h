/*-------------------------------------------------------------------------
 *
 * fg_catalog_schema.h
 *		The table fortress.schema_policy as C sees it: what tables of a schema
 *		are given that come into being there.
 *
 * The rules of fg_catalog.h hold here too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_SCHEMA_H
#define FG_CATALOG_SCHEMA_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "fg_types.h"

/*
 * A schema is kept by oid and name.  In the database where the row was written
 * the oid counts, so that a rename changes nothing, as long as there is a schema
 * with that oid; otherwise, say after a dump and restore, the name does.
 */
typedef struct FgSchemaRow
{
	int64		id;				/* 0: not written yet */
	Oid			schema;			/* InvalidOid: there is no such schema */
	const char *name;			/* that it had when the row was written */
	bool		by_name;		/* it was the name that counted */
	FgMode		mode;
	bool		require_where;
	int			archive;		/* FG_ARCHIVE_* bits */
	int64		rows[FG_N_ROW_OPERATIONS];	/* per transaction; -1: no limit */
	int64		hourly_rows[FG_N_ROW_OPERATIONS];	/* -1: no limit */
} FgSchemaRow;

extern FgSchemaRow *fg_catalog_get_schema(Oid schema);	/* NULL: not protected */
extern List *fg_catalog_schemas(void);	/* of FgSchemaRow *, in no order */
/* Writes a row, over the one with its id; a new one gets an id. */
extern void fg_catalog_put_schema(FgSchemaRow *row);
extern void fg_catalog_delete_schema(int64 id);

#endif							/* FG_CATALOG_SCHEMA_H */
