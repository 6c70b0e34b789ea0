/*-------------------------------------------------------------------------
 *
 * fg_restore_direct.h
 *		The short way of a restore, for rows that were only removed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_DIRECT_H
#define FG_RESTORE_DIRECT_H

#include "postgres.h"
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "utils/rel.h"
#include "fg_restore_plan.h"

#define FG_DIRECT_OPERATIONS	3

/* A plan, its relations, which stay open, and what came of it. */
typedef struct FgDirect
{
	FgRestorePlan *plan;
	Relation	rel;
	Relation	shadow;
	int64		rows[FG_DIRECT_OPERATIONS]; /* by fg_direct_operations */
	int64		planned;
	int64		done;
	List	   *outermost;		/* of FgOutermost *, one for each column with a
								 * sequence */

	/* for the restore itself */
	const char *condition;		/* the plan's, and perhaps in which part of the
								 * shadow the chosen images are */
	List	   *tables;			/* oids: the relation, or its partitions */
	int64		n_blocks;		/* of all of them */
	bool		only_fkeys;		/* no triggers but those of foreign keys */
	bool		repeated;		/* a key may occur more than once */
	bool		ascending;		/* the rows will come in the order of the key */
	const char *sql;			/* the INSERT */
	Query	   *query;
	QueryDesc  *desc;
	QueryDesc  *images;			/* of a scan of the shadow beside it, or NULL */
} FgDirect;

/* The fg_op that can go this way */
extern const char fg_direct_operations[FG_DIRECT_OPERATIONS];

/*
 * Restores, or for a dry run counts, all of them (FgDirect *), if it is certain
 * that the statement of fg_restore_sql() would do the same.  False: nothing was
 * done.
 */
extern bool fg_restore_direct(List *directs, FgRestoreRequest *request);

#endif							/* FG_RESTORE_DIRECT_H */
