/*-------------------------------------------------------------------------
 *
 * fg_xact.c
 *		Callbacks for the ends of transactions in which the guard has done
 *		something.
 *
 * Most transactions never touch a protected table.  Had every part its own
 * callback with the server, each of them would pay for all, so one callback
 * stands for them and returns at once unless a part has said that it has kept
 * something.  Sessions in which that never happens have none.  A transaction
 * that has done nothing but change rows of protected tables is what a limit
 * lets happen thousands of times; only the parts that count and keep rows hear
 * of its end, unless one of the others has asked for it.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fg_xact.h"

#define MAX_PARTS	20

static struct
{
	FgXactCallback on_xact;
	FgSubXactCallback on_subxact;
	int			flags;
}			parts[MAX_PARTS];

static int	n_parts = 0;

/* numbers of those with FG_XACT_EARLY, of those with FG_XACT_ROWS, and of those with both */
static int	early[MAX_PARTS];
static int	n_early = 0;
static int	early_of_rows[MAX_PARTS];
static int	n_early_of_rows = 0;
static int	of_rows[MAX_PARTS];
static int	n_of_rows = 0;

static bool touched = false;
static bool touched_all = false;	/* not only by parts with FG_XACT_ROWS */

void
fg_xact_register(FgXactCallback on_xact, FgSubXactCallback on_subxact, int flags)
{
	if (n_parts >= MAX_PARTS)
		elog(ERROR, "too many transaction callbacks");
	parts[n_parts].on_xact = on_xact;
	parts[n_parts].on_subxact = on_subxact;
	parts[n_parts].flags = flags;
	if ((flags & FG_XACT_EARLY) != 0)
		early[n_early++] = n_parts;
	if ((flags & FG_XACT_EARLY) != 0 && (flags & FG_XACT_ROWS) != 0)
		early_of_rows[n_early_of_rows++] = n_parts;
	if ((flags & FG_XACT_ROWS) != 0)
		of_rows[n_of_rows++] = n_parts;
	n_parts++;
}

/* One that has its turn may ask for those that have theirs later. */
static inline bool
concerns(int part)
{
	return touched_all || (parts[part].flags & FG_XACT_ROWS) != 0;
}

/* Those that hear of what is about to come, the last one first. */
static void
call_early(XactEvent event)
{
	int			above = MAX_PARTS;	/* these have had their turn */

	for (int i = n_early_of_rows - 1; i >= 0 && !touched_all; i--)
	{
		above = early_of_rows[i];
		parts[above].on_xact(event);
	}
	if (!touched_all)
		return;
	for (int i = n_early - 1; i >= 0; i--)
	{
		if (early[i] < above)
			parts[early[i]].on_xact(event);
	}
}

static void
xact_event(XactEvent event, void *arg)
{
	bool		all = touched_all;

	if (!touched)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			call_early(event);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			for (int i = n_parts - 1; all && i >= 0; i--)
				parts[i].on_xact(event);
			for (int i = n_of_rows - 1; !all && i >= 0; i--)
				parts[of_rows[i]].on_xact(event);
			touched = false;
			touched_all = false;
			break;
		default:
			break;				/* parallel workers keep nothing */
	}
}

static void
subxact_event(SubXactEvent event, SubTransactionId mine,
			  SubTransactionId parent, void *arg)
{
	if (!touched ||
		(event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB))
		return;
	for (int i = n_parts - 1; i >= 0; i--)
	{
		if (parts[i].on_subxact != NULL && concerns(i))
			parts[i].on_subxact(event, GetCurrentTransactionNestLevel());
	}
}

void
fg_xact_touch_rows(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(xact_event, NULL);
		RegisterSubXactCallback(subxact_event, NULL);
		registered = true;
	}
	touched = true;
}

void
fg_xact_touch(void)
{
	fg_xact_touch_rows();
	touched_all = true;
}
