/*-------------------------------------------------------------------------
 *
 * fg_restore_moved.h
 *		Rows whose keys were changed: where are they now?
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_MOVED_H
#define FG_RESTORE_MOVED_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "fg_restore_sql.h"

/*
 * The CTEs that follow "first": "start", which is "first" without the rows that
 * had come to their keys by an update, and what tells where its rows are now.
 * leave_out: also without rows that the transaction had put in itself.
 */
extern void fg_restore_moved_sql(StringInfo sql, const FgRestorePlan *plan, bool leave_out);
/* Of "found", with f from "start": the key and version of the row to update, */
extern void fg_restore_moved_place(StringInfo sql, const FgRestorePlan *plan);
/* the verdict where nothing has the key, */
extern void fg_restore_moved_verdict(StringInfo sql);
/* and the joins that both need. */
extern void fg_restore_moved_joins(StringInfo sql, const FgRestorePlan *plan);

#endif							/* FG_RESTORE_MOVED_H */
