/*-------------------------------------------------------------------------
 *
 * fg_catalog.h
 *		The tables of schema fortress as C sees them: policies, limits and
 *		the map from a relation to its shadow.  fg_catalog_auth.h has the
 *		tables of permission, fg_catalog_schema.h that of schemas.
 *
 * Everything is read with a fresh catalog snapshot, so a change counts right
 * after its commit, also in a REPEATABLE READ transaction.  Writing goes
 * straight to the heap, with the rights of nobody: the callers have checked
 * who may.  Results are palloc'd in the current context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_H
#define FG_CATALOG_H

#include "postgres.h"
#include "access/genam.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "fg_types.h"

typedef struct FgPolicyRow
{
	Oid			relid;
	FgMode		mode;
	bool		require_where;
	int			archive;		/* FG_ARCHIVE_* bits */
	bool		all_columns;	/* UPDATE is guarded whatever it changes */
	List	   *columns;		/* of char *, if not all_columns */
	int64		schema_policy;	/* id of the protected schema that gave it; 0: a
								 * policy of its own */
	bool		changed_here;	/* by the running transaction; only read */
} FgPolicyRow;

/* --- the extension's own objects --- */

/* Is the extension here, in this database?  Cached; needs a transaction. */
extern bool fg_catalog_present(void);
/* Registers the invalidation callbacks; once at load. */
extern void fg_catalog_setup(void);
/* A relation of schema fortress by name; raises an error if it is not there. */
extern Oid	fg_catalog_relation(const char *name);
extern Oid	fg_catalog_schema(void);
/* The role that owns the extension's schema: what the guard's own DDL runs as. */
extern Oid	fg_catalog_owner(void);
/* The trigger function fortress.guard(). */
extern Oid	fg_catalog_guard_function(void);

/* --- building blocks, for fg_catalog_auth.c --- */

typedef struct FgScan
{
	Relation	rel;
	SysScanDesc scan;
	LOCKMODE	lockmode;
} FgScan;

/* Opens relation "name" and scans it by its index "index" (NULL: whole). */
extern void fg_scan_begin(FgScan *scan, const char *name, const char *index,
						  LOCKMODE lockmode, int nkeys, ScanKey keys);
extern HeapTuple fg_scan_next(FgScan *scan);	/* NULL at the end */
extern void fg_scan_end(FgScan *scan);	/* keeps the lock, but for AccessShareLock */
/* Draws the next value of a sequence of schema fortress. */
extern int64 fg_catalog_nextval(const char *sequence);

/* --- policies and limits --- */

extern FgPolicyRow *fg_catalog_get_policy(Oid relid);	/* NULL: none */
extern void fg_catalog_put_policy(const FgPolicyRow *row);	/* new or changed */
extern void fg_catalog_delete_policy(Oid relid);	/* with its limits */
extern List *fg_catalog_policy_relids(void);
extern List *fg_catalog_shadow_relids(void);	/* that have, or had, a shadow */

extern List *fg_catalog_get_limits(Oid relid);	/* of FgLimit * */
extern void fg_catalog_put_limit(Oid relid, const FgLimit *limit);	/* new or changed */
extern bool fg_catalog_delete_limit(Oid relid, const FgLimit *limit);	/* by op, per, interval, by */

/* --- shadows --- */

extern Oid	fg_catalog_get_shadow(Oid relid);	/* InvalidOid: none */
extern void fg_catalog_put_shadow(Oid relid, Oid shadow);
extern void fg_catalog_delete_shadow(Oid relid);	/* only that it belongs together */

#endif							/* FG_CATALOG_H */
