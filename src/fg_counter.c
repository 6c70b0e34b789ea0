/*-------------------------------------------------------------------------
 *
 * fg_counter.c
 *		Counters that follow savepoints.
 *
 * Rows that a transaction has counted must be given back when it rolls back
 * to a savepoint, and only those of the subtransactions undone.  So a counter
 * keeps its value apart by subtransaction level: a chain of levels, innermost
 * first, with strictly falling nest levels.  When a subtransaction is rolled
 * back, its level is taken off; when it is released, its level becomes part of
 * the one around it, or takes its place if that one has no share.
 *
 * One level is embedded in the counter, so that a transaction without
 * savepoints allocates nothing.  Whichever level comes first while it is free
 * gets it, and it is free again when that level goes; the others are
 * allocated in TopTransactionContext.
 *
 * What sticks is moved to level 1, which no savepoint reaches: it goes only
 * with the transaction itself.
 *
 * All state is local to the backend; there are no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "fg_counter.h"
#include "fg_xact.h"

/* the nest level of a transaction outside its savepoints */
#define OUTERMOST_LEVEL		1

/* all counters of the running transaction */
dlist_head fg_live_counters = DLIST_STATIC_INIT(fg_live_counters);

static FgCounterLevel *level_get(FgCounter *counter, int nest_level);
static void level_free(FgCounter *counter, FgCounterLevel *level);
static void counter_subcommit(FgCounter *counter, int nest_level);
static void counter_subabort(FgCounter *counter, int nest_level);
static void counter_subxact(SubXactEvent event, int nest_level);
static void counter_xact(XactEvent event);

/*
 * A new level without a place in the chain.  This is the only step that
 * can fail, so callers take it before they change anything.
 */
static FgCounterLevel *
level_get(FgCounter *counter, int nest_level)
{
	FgCounterLevel *level = &counter->base;

	if (level->nest_level != 0)
		level = (FgCounterLevel *) MemoryContextAlloc(TopTransactionContext,
													  sizeof(FgCounterLevel));
	level->nest_level = nest_level;
	level->value = 0;
	level->upper = NULL;
	return level;
}

static void
level_free(FgCounter *counter, FgCounterLevel *level)
{
	if (level == &counter->base)
		level->nest_level = 0;
	else
		pfree(level);
}

void
fg_counter_add_level(FgCounter *counter, int64 amount)
{
	FgCounterLevel *level = level_get(counter, GetCurrentTransactionNestLevel());

	level->upper = counter->top;
	level->value = amount;
	counter->top = level;
	counter->total += amount;
}

/*
 * The amount is taken from the shares that a rollback could still return,
 * innermost first, and from none more than it has.  What they don't have is
 * at the outermost level already, so that nothing sticks twice.
 */
void
fg_counter_stick(FgCounter *counter, int64 amount)
{
	FgCounterLevel *outermost = counter->top;

	if (outermost == NULL || outermost->nest_level == OUTERMOST_LEVEL)
		return;
	while (outermost->upper != NULL)
		outermost = outermost->upper;
	if (outermost->nest_level != OUTERMOST_LEVEL)
	{
		outermost->upper = level_get(counter, OUTERMOST_LEVEL);
		outermost = outermost->upper;
	}

	for (FgCounterLevel *level = counter->top;
		 level != outermost && amount > 0;
		 level = level->upper)
	{
		int64		part = Min(amount, level->value);

		if (part <= 0)
			continue;
		level->value -= part;
		outermost->value += part;
		amount -= part;
	}
}

/*
 * Not for use in callbacks at the end of the transaction: the list of
 * counters may be empty by then.
 */
void
fg_counter_forget(FgCounter *counter)
{
	while (counter->top != NULL)
	{
		FgCounterLevel *level = counter->top;

		counter->top = level->upper;
		level_free(counter, level);
	}
	counter->total = 0;
	dlist_delete(&counter->link);
}

/*
 * The subtransaction at nest_level was released: its share belongs to the
 * level around it.
 */
static void
counter_subcommit(FgCounter *counter, int nest_level)
{
	FgCounterLevel *level = counter->top;

	if (level == NULL || level->nest_level < nest_level)
		return;
	if (level->upper != NULL && level->upper->nest_level == nest_level - 1)
	{
		level->upper->value += level->value;
		counter->top = level->upper;
		level_free(counter, level);
	}
	else
		level->nest_level = nest_level - 1;
}

/*
 * The subtransaction at nest_level was rolled back: its share is gone.
 */
static void
counter_subabort(FgCounter *counter, int nest_level)
{
	FgCounterLevel *level = counter->top;
	int64		amount;

	if (level == NULL || level->nest_level < nest_level)
		return;
	amount = level->value;
	counter->top = level->upper;
	level_free(counter, level);
	counter->total -= amount;
	if (amount != 0 && counter->on_rollback != NULL)
		counter->on_rollback(counter, amount);
}

static void
counter_subxact(SubXactEvent event, int nest_level)
{
	dlist_iter	iter;

	dlist_foreach(iter, &fg_live_counters)
	{
		FgCounter  *counter = dlist_container(FgCounter, link, iter.cur);

		if (event == SUBXACT_EVENT_COMMIT_SUB)
			counter_subcommit(counter, nest_level);
		else
			counter_subabort(counter, nest_level);
	}
}

/*
 * The counters themselves are left as they are: other modules still read
 * them in their own callbacks for the same event.
 */
static void
counter_xact(XactEvent event)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		dlist_init(&fg_live_counters);
}

void
fg_counter_setup(void)
{
	fg_xact_register(counter_xact, counter_subxact, FG_XACT_ROWS);
}
