/*-------------------------------------------------------------------------
 *
 * fg_tally.c
 *		How many rows of a relation were deleted and updated in this
 *		transaction, by the server's own counters.
 *
 * The server counts rows for its statistics, in one struct for each relation
 * and subtransaction level.  Summed up the chain of levels these counts are
 * exact at any moment: what was rolled back to a savepoint has left the chain.
 * We remember how much of each sum has been accounted for, in counters of the
 * same behaviour, so that the difference is always what is new, whatever was
 * rolled back in between.
 *
 * A sum alone does not say which statement the rows belong to.  The executor
 * part settles every running node before a nested statement begins, so that
 * what is new belongs to the node that asks.  It also does not say what a
 * "delete" was:
 *
 *	DELETE		every deleted row is one
 *	UPDATE		a deleted row was moved to another partition: one update
 *	ON CONFLICT	a deleted row was given up after a lost race: nothing
 *	MERGE		cannot be told; the node's own counters can
 *
 * TRUNCATE sets the server's counters back.  That makes a difference negative,
 * which means: nothing new, start from here.
 *
 * Locks: none, all this is the backend's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgstat.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "fg_tally.h"

struct FgTally
{
	FgCounter	deleted;
	FgCounter	updated;
};

/* counters are links of a list and must not move, as hash entries may */
typedef struct TallySlot
{
	Oid			relid;			/* hash key */
	FgTally    *tally;
} TallySlot;

/* in TopTransactionContext, gone with the transaction */
static HTAB *tallies = NULL;

FgTally *
fg_tally_get(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	TallySlot  *slot;
	bool		found;

	if (tallies == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(TallySlot);
		ctl.hcxt = TopTransactionContext;
		tallies = hash_create("fortress_guard tallies", 16, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	slot = hash_search(tallies, &relid, HASH_ENTER, &found);
	if (!found)
	{
		slot->tally = MemoryContextAllocZero(TopTransactionContext, sizeof(FgTally));
		fg_counter_init(&slot->tally->deleted, NULL, NULL);
		fg_counter_init(&slot->tally->updated, NULL, NULL);
	}
	return slot->tally;
}

void
fg_tally_end(void)
{
	tallies = NULL;
}

/* Sums of the server's counters for this transaction. */
static void
server_counts(Relation rel, int64 *deleted, int64 *updated)
{
	PgStat_TableXactStatus *level = NULL;

	*deleted = 0;
	*updated = 0;
	if (rel->pgstat_info != NULL)
		level = rel->pgstat_info->trans;
	for (; level != NULL; level = level->upper)
	{
		*deleted += level->tuples_deleted;
		*updated += level->tuples_updated;
	}
}

/* Moves a counter to a sum and returns what is new; 0 if the sum went back. */
static int64
catch_up(FgCounter *seen, int64 sum)
{
	int64		new = sum - seen->total;

	if (new != 0)
		fg_counter_add(seen, new);
	return Max(new, 0);
}

void
fg_tally_skip(FgTally *tally, Relation rel)
{
	int64		deleted;
	int64		updated;

	server_counts(rel, &deleted, &updated);
	(void) catch_up(&tally->deleted, deleted);
	(void) catch_up(&tally->updated, updated);
}

bool
fg_tally_new(FgTally *tally, Relation rel, CmdType operation,
			 int64 rows[FG_N_ROW_OPERATIONS])
{
	int64		deleted;
	int64		updated;

	server_counts(rel, &deleted, &updated);
	deleted = catch_up(&tally->deleted, deleted);
	updated = catch_up(&tally->updated, updated);
	switch (operation)
	{
		case CMD_UPDATE:
			updated += deleted;
			deleted = 0;
			break;
		case CMD_INSERT:
			deleted = 0;
			break;
		default:
			break;
	}
	rows[FG_OP_DELETE] = deleted;
	rows[FG_OP_UPDATE] = updated;
	return rel->pgstat_info != NULL || rel->pgstat_enabled;
}

void
fg_tally_merge_begin(FgMergeTally *merge)
{
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		fg_counter_init(&merge->seen[op], NULL, NULL);
	merge->begun = true;
}

void
fg_tally_merge_new(FgMergeTally *merge, const ModifyTableState *node,
				   int64 rows[FG_N_ROW_OPERATIONS])
{
	rows[FG_OP_DELETE] = catch_up(&merge->seen[FG_OP_DELETE],
								  (int64) node->mt_merge_deleted);
	rows[FG_OP_UPDATE] = catch_up(&merge->seen[FG_OP_UPDATE],
								  (int64) node->mt_merge_updated);
}

void
fg_tally_merge_end(FgMergeTally *merge)
{
	if (!merge->begun)
		return;
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		fg_counter_forget(&merge->seen[op]);
	merge->begun = false;
}
