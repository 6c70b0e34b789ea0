/*-------------------------------------------------------------------------
 *
 * fg_xact.c
 *		Callbacks for the ends of transactions in which the guard has done
 *		something.
 *
 * Most transactions never touch a protected table.  Had every part its own
 * callback with the server, each of them would pay for all, so one callback
 * stands for them and returns at once unless a part has said that it has kept
 * something.  Sessions in which that never happens have none.
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
}			parts[MAX_PARTS];

static int	n_parts = 0;
static bool touched = false;

void
fg_xact_register(FgXactCallback on_xact, FgSubXactCallback on_subxact)
{
	if (n_parts >= MAX_PARTS)
		elog(ERROR, "too many transaction callbacks");
	parts[n_parts].on_xact = on_xact;
	parts[n_parts].on_subxact = on_subxact;
	n_parts++;
}

static void
xact_event(XactEvent event, void *arg)
{
	bool		ended = false;

	if (!touched)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			ended = true;
			break;
		default:
			return;				/* parallel workers keep nothing */
	}
	for (int i = n_parts - 1; i >= 0; i--)
	{
		if (parts[i].on_xact != NULL)
			parts[i].on_xact(event);
	}
	if (ended)
		touched = false;
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
		if (parts[i].on_subxact != NULL)
			parts[i].on_subxact(event, GetCurrentTransactionNestLevel());
	}
}

void
fg_xact_touch(void)
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
