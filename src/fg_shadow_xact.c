/*-------------------------------------------------------------------------
 *
 * fg_shadow_xact.c
 *		What archiving has to do with the transaction that it happens in.
 *
 *	- While a restore runs, rows are marked as archived by one.
 *	- A transaction that archived rows keeps the numbers of its subtransactions
 *	  (savepoints, exception blocks): a version that one of them made bears its
 *	  number, and by nothing else could an undo tell later that the transaction
 *	  itself has put it there.  This is done once, before it commits or is
 *	  prepared, when all that were rolled back have gone.
 *
 * Locks: none, all state here belongs to the backend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "fg_catalog.h"
#include "fg_catalog_child.h"
#include "fg_shadow.h"
#include "fg_xact.h"

/* nest level at which a restore began; 0: none runs */
static int	restoring_level = 0;

/* this transaction has archived rows */
static bool archived = false;

static void
save_children(void)
{
	TransactionId *children;
	int			n_children = xactGetCommittedChildren(&children);

	/* the extension may have been dropped meanwhile */
	if (n_children == 0 || !fg_catalog_present())
		return;
	/* many numbers need the TOAST table, and that a snapshot */
	PushActiveSnapshot(GetTransactionSnapshot());
	fg_catalog_put_children(GetTopFullTransactionId(), children, n_children);
	PopActiveSnapshot();
}

static void
end_transaction(XactEvent event)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (archived)
			save_children();
		archived = false;
		return;
	}
	restoring_level = 0;
	archived = false;
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && restoring_level >= level)
		restoring_level = 0;
}

void
fg_shadow_note_archived(void)
{
	archived = true;
	fg_xact_touch_rows();
}

void
fg_shadow_set_restoring(bool restoring)
{
	fg_xact_touch();
	restoring_level = restoring ? GetCurrentTransactionNestLevel() : 0;
}

bool
fg_shadow_restoring(void)
{
	return restoring_level > 0;
}

void
fg_shadow_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, FG_XACT_EARLY | FG_XACT_ROWS);
}
