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
#include "access/htup.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

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
/*
 * From now on, calls "seen" with the old version of each row that the node has
 * deleted, updated or moved, when fg_change_compare() finds it.  "new" is what it
 * became, in the layout of rel wherever it is; NULL: it was deleted, or is not to
 * be found.
 */
typedef void (*FgChangeSeen) (void *arg, Relation rel, HeapTuple old, HeapTuple new, bool deleted);
extern void fg_change_on_seen(FgChange *change, FgChangeSeen seen, void *arg);
/* The node is about to be given this row. */
extern void fg_change_remember(FgChange *change, TupleTableSlot *slot);
/*
 * Looks at what became of the row: counts it if it changed.  Unless the node
 * is done with it, a row that has not changed yet is kept in mind.
 */
extern void fg_change_compare(FgChange *change, bool done);
/* Rows counted since the last call. */
extern int64 fg_change_new(FgChange *change);
/* Never raises an error. */
extern void fg_change_end(FgChange *change);

#endif							/* FG_CHANGE_H */
