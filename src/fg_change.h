/*-------------------------------------------------------------------------
 *
 * fg_change.h
 *		Did a guarded column of an updated row really change?
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CHANGE_H
#define FG_CHANGE_H

#include "postgres.h"
#include "nodes/execnodes.h"

typedef struct FgChange FgChange;

/*
 * Begins to compare what a node does to the rows of one of its result
 * relations, in the columns named.  The result lives in the current context,
 * which must be the query's; fg_change_end() must come before that ends.
 */
extern FgChange *fg_change_begin(ModifyTableState *node, ResultRelInfo *rri,
								 char **columns, int n_columns);
/*
 * The same for a partition that came to be known only when a row was routed to
 * it, of which "updated" were updated since the last look.  "root" watches the
 * root without columns, or is NULL.
 */
extern void fg_change_begun_late(FgChange *change, const FgChange *root, int64 updated);
/* The node is about to be given this row. */
extern void fg_change_remember(FgChange *change, TupleTableSlot *slot);
/* The node has done with the row it was given: count it if it changed. */
extern void fg_change_compare(FgChange *change);
/* Rows counted since the last call. */
extern int64 fg_change_new(FgChange *change);
/* Never raises an error. */
extern void fg_change_end(FgChange *change);

#endif							/* FG_CHANGE_H */
