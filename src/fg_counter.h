/*-------------------------------------------------------------------------
 *
 * fg_counter.h
 *		Counters that follow savepoints: what was added inside a
 *		subtransaction goes away again when it is rolled back.
 *
 * Floor 0.  A counter belongs to the current top-level transaction.  The
 * caller owns the FgCounter struct itself, which must live until the end of
 * the transaction or until fg_counter_forget(), whichever is first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_COUNTER_H
#define FG_COUNTER_H

#include "postgres.h"
#include "lib/ilist.h"

typedef struct FgCounterLevel
{
	int			nest_level;
	int64		value;
	struct FgCounterLevel *upper;	/* next outer subtransaction with a share */
} FgCounterLevel;

typedef struct FgCounter FgCounter;

/*
 * Called when a rollback takes "amount" back out of the counter.  It runs
 * inside the subtransaction-abort callback, so it must not raise errors.  Not
 * called at the end of the top-level transaction.
 */
typedef void (*FgCounterRollback) (FgCounter *counter, int64 amount);

struct FgCounter
{
	dlist_node	link;			/* in the list of live counters */
	int64		total;			/* sum over all levels */
	FgCounterLevel base;		/* the share of the outermost level so far */
	FgCounterLevel *top;		/* innermost level with a share */
	FgCounterRollback on_rollback;
	void	   *arg;			/* for on_rollback */
};

/* Makes "counter" a live counter of this transaction, with the value 0. */
extern void fg_counter_init(FgCounter *counter, FgCounterRollback on_rollback, void *arg);
/* Adds at the current subtransaction level; amount may be negative. */
extern void fg_counter_add(FgCounter *counter, int64 amount);
/* Moves "amount" to the outermost level: only the end of the transaction takes it back. */
extern void fg_counter_stick(FgCounter *counter, int64 amount);
/* Ends a counter before its transaction does. */
extern void fg_counter_forget(FgCounter *counter);
/* Registers the transaction callbacks; call once at load. */
extern void fg_counter_setup(void);

#endif							/* FG_COUNTER_H */
