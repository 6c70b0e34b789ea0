/*-------------------------------------------------------------------------
 *
 * fg_argument.h
 *		Arguments of the SQL functions of permission: read and checked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_ARGUMENT_H
#define FG_ARGUMENT_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/pg_list.h"

/* Raises 22004 if argument n is NULL. */
extern void fg_argument_require(FunctionCallInfo fcinfo, int n, const char *argument);
/* "operations", a text[], as FG_OP_BIT()s; at least one. */
extern int	fg_argument_operations(FunctionCallInfo fcinfo, int n);
/* The same where '{}' means something: 0. */
extern int	fg_argument_operations_or_none(FunctionCallInfo fcinfo, int n);
/* "max_rows", a bigint; -1 where it is NULL. */
extern int64 fg_argument_max_rows(FunctionCallInfo fcinfo, int n);
/* A text; NULL where it is NULL. */
extern char *fg_argument_text(FunctionCallInfo fcinfo, int n);
/* "relations", a regclass[] that is not NULL: each relation once; at least one. */
extern List *fg_argument_relations(FunctionCallInfo fcinfo, int n);
/* "valid_for", an interval: when it ends from now on, which is in the future. */
extern TimestampTz fg_argument_end(FunctionCallInfo fcinfo, int n);

/* A regrole, not NULL; raises 42704 if there is no such role. */
extern Oid	fg_argument_role(FunctionCallInfo fcinfo, int n, const char *argument);
/* Locks a relation; raises an error unless a permission can be for it. */
extern void fg_argument_check_relation(Oid relid);

#endif							/* FG_ARGUMENT_H */
