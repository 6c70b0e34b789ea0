/*-------------------------------------------------------------------------
 *
 * fg_tally.h
 *		How many rows of a relation were deleted and updated in this
 *		transaction, by the server's own counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TALLY_H
#define FG_TALLY_H

#include "postgres.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "fg_counter.h"
#include "fg_types.h"

/* What of a relation's counters has been accounted for in this transaction. */
typedef struct FgTally FgTally;

/* What of a MERGE node's own counters has been accounted for. */
typedef struct FgMergeTally
{
	bool		begun;
	FgCounter	seen[FG_N_ROW_OPERATIONS];
} FgMergeTally;

extern FgTally *fg_tally_get(Relation rel);
/* Leaves out of the account what has happened so far. */
extern void fg_tally_skip(FgTally *tally, Relation rel);
/*
 * What a node of kind "operation" has done to the relation since the last
 * call, and from now on counts as accounted for.  False: the server does not
 * count the rows of this relation.
 */
extern bool fg_tally_new(FgTally *tally, Relation rel, CmdType operation,
						 int64 rows[FG_N_ROW_OPERATIONS]);
/* Rows updated since the last call of fg_tally_new(), which may count them yet. */
extern int64 fg_tally_unseen_updates(const FgTally *tally, Relation rel);
/* The same with the rows deleted. */
extern int64 fg_tally_unseen(const FgTally *tally, Relation rel);
/* End of the transaction. */
extern void fg_tally_end(void);

extern void fg_tally_merge_begin(FgMergeTally *merge);
extern void fg_tally_merge_new(FgMergeTally *merge, const ModifyTableState *node,
							   int64 rows[FG_N_ROW_OPERATIONS]);
extern void fg_tally_merge_end(FgMergeTally *merge);	/* also if not begun */

/* Has this transaction put rows into the relation, by the server's counters? */
extern bool fg_tally_inserted(Relation rel);

#endif							/* FG_TALLY_H */
