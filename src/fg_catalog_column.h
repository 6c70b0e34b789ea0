/*-------------------------------------------------------------------------
 *
 * fg_catalog_column.h
 *		Columns of the tables of schema fortress, for those who read and write
 *		rows of them.
 *
 * The functions that put a value into a column take the arrays that
 * heap_form_tuple() wants; attnum counts from 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_COLUMN_H
#define FG_CATALOG_COLUMN_H

#include "postgres.h"
#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

extern Datum fg_column_value(HeapTuple tuple, Relation rel, int attnum, bool *isnull);
/* A column that the script declares NOT NULL. */
extern Datum fg_column_required(HeapTuple tuple, Relation rel, int attnum);
extern bool fg_column_is_null(HeapTuple tuple, Relation rel, int attnum);

/*
 * A role takes three columns, from attnum on: its oid, its name, and the system
 * identifier of the cluster where the oid counts.  What is read is InvalidOid
 * for a role that is gone.
 */
extern void fg_column_put_role(Oid role, int attnum, Datum *values);
extern Oid	fg_column_get_role(HeapTuple tuple, Relation rel, int attnum);
/* The name of a role as a value of type name, or its oid where it is gone. */
extern Datum fg_column_role_name(Oid role);

/* FG_OP_BIT()s as a text[], and relations as a regclass[]. */
extern Datum fg_column_operations(int operations);
extern int	fg_column_get_operations(Datum value);
extern Datum fg_column_relids(const List *relids);
extern List *fg_column_get_relids(Datum value);

/* A text, or NULL. */
extern void fg_column_put_text(const char *text, int attnum, Datum *values, bool *nulls);
extern char *fg_column_get_text(HeapTuple tuple, Relation rel, int attnum);
/* A bigint, -1 where it is NULL. */
extern void fg_column_put_bound(int64 bound, int attnum, Datum *values, bool *nulls);
extern int64 fg_column_get_bound(HeapTuple tuple, Relation rel, int attnum);

/* A client's address as fg_client_inet() gives it, family 4 or 6, as inet. */
extern Datum fg_column_address(uint8 family, const uint8 *bytes);

/* Inserts a row into the table of that name and makes it visible. */
extern void fg_column_insert_row(const char *name, Datum *values, bool *nulls);

#endif							/* FG_CATALOG_COLUMN_H */
