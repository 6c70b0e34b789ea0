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
#include "access/xact.h"
#include "lib/ilist.h"
#include "fg_xact.h"

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

/* the live ones, for fg_counter.c */
extern dlist_head fg_live_counters;

/* Makes "counter" a live counter of this transaction, with the value 0. */
static inline void
fg_counter_init(FgCounter *counter, FgCounterRollback on_rollback, void *arg)
{
	counter->total = 0;
	counter->base.nest_level = 0;	/* free */
	counter->top = NULL;
	counter->on_rollback = on_rollback;
	counter->arg = arg;
	if (dlist_is_empty(&fg_live_counters))
		fg_xact_touch_rows();
	dlist_push_head(&fg_live_counters, &counter->link);
}

/* Where the current level has no share yet. */
extern void fg_counter_add_level(FgCounter *counter, int64 amount);

/* Adds at the current subtransaction level; amount may be negative. */
static inline void
fg_counter_add(FgCounter *counter, int64 amount)
{
	FgCounterLevel *top = counter->top;

	if (top != NULL && top->nest_level >= GetCurrentTransactionNestLevel())
	{
		top->value += amount;
		counter->total += amount;
	}
	else
		fg_counter_add_level(counter, amount);
}

/* Moves "amount" to the outermost level: only the end of the transaction takes it back. */
extern void fg_counter_stick(FgCounter *counter, int64 amount);
/* Ends a counter before its transaction does. */
extern void fg_counter_forget(FgCounter *counter);
/* Registers the transaction callbacks; call once at load. */
extern void fg_counter_setup(void);

#endif							/* FG_COUNTER_H */
