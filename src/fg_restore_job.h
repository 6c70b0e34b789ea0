/*-------------------------------------------------------------------------
 *
 * fg_restore_job.h
 *		One relation that is being restored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_JOB_H
#define FG_RESTORE_JOB_H

#include "postgres.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "fg_restore_plan.h"
#include "fg_restore_sql.h"

/* kinds of operations that a result tells apart */
#define FG_N_RESTORED	4

/* One relation that is restored from one shadow, and what came of it. */
typedef struct FgRestoreJob
{
	FgRestorePlan plan;
	Relation	rel;
	Relation	shadow;
	bool		occurs[FG_N_RESTORED];
	int64		rows[FG_N_RESTORED];
	int64		conflicts[FG_N_RESTORED];
	int64		n_conflicts;
	int64		planned;
	int64		done;
	char	   *examples;
} FgRestoreJob;

/* How a query is run */
#define FG_RUN_HASHED	1		/* without nested loops, whatever the planner
								 * believes */
#define FG_RUN_UNSORTED 2		/* groups by hash */

/* on_conflict, argument n; raises an error if it is none. */
extern FgConflict fg_restore_conflict_argument(FunctionCallInfo fcinfo, int n);
/* Finds what the row versions of the request's transaction bear. */
extern void fg_restore_find_xids(FgRestoreRequest *request);
/* Locks all that an undo of the request's transaction is about and plans it; with SPI. */
extern List *fg_restore_undo_jobs(FgRestoreRequest *request);
extern void fg_restore_job_end(FgRestoreJob *job);
/* Runs a query with the request's parameters; how: FG_RUN_* bits. */
extern void fg_restore_run(const char *sql, FgRestoreRequest *request, int how);

#endif							/* FG_RESTORE_JOB_H */
