/*-------------------------------------------------------------------------
 *
 * fg_ddl_type.h
 *		Changes of types: which keep the values of a column as they are, and
 *		which tables keep values of a type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_TYPE_H
#define FG_DDL_TYPE_H

#include "postgres.h"
#include "nodes/parsenodes.h"

/* Does ALTER COLUMN TYPE, as "def" says it, leave every value what it was? */
extern bool fg_ddl_type_keeps_values(Oid relid, AttrNumber attnum, const ColumnDef *def);
/*
 * The ordinary and partitioned tables with a column whose values hold values
 * of the type, directly or inside of others: a list of oids.
 */
extern List *fg_ddl_type_tables(Oid type);

#endif							/* FG_DDL_TYPE_H */
