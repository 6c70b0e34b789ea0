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
	Oid			relid;			/* hash key */
	uint64		transaction;	/* in which the counters are live */
	FgCounter	deleted;
	FgCounter	updated;
};

/*
 * One for each relation that this session has counted.  They stay from
 * transaction to transaction, as making the table costs more than a row.
 * Entries of a dynamic hash never move, so their counters can be linked.
 */
static HTAB *tallies = NULL;
static FgTally *last_tally = NULL;

static uint64 this_transaction = 1;

FgTally *
fg_tally_get(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	FgTally    *tally = last_tally;
	bool		found = true;

	if (tally == NULL || tally->relid != relid)
	{
		if (tallies == NULL)
		{
			HASHCTL		ctl = {0};

			ctl.keysize = sizeof(Oid);
			ctl.entrysize = sizeof(FgTally);
			ctl.hcxt = TopMemoryContext;
			tallies = hash_create("fortress_guard tallies", 64, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		}
		tally = hash_search(tallies, &relid, HASH_ENTER, &found);
		last_tally = tally;
	}
	if (!found || tally->transaction != this_transaction)
	{
		fg_counter_init(&tally->deleted, NULL, NULL);
		fg_counter_init(&tally->updated, NULL, NULL);
		tally->transaction = this_transaction;
	}
	return tally;
}

void
fg_tally_end(void)
{
	this_transaction++;
}

/* Sums of the server's counters for this transaction. */
static inline void
server_counts(Relation rel, int64 *deleted, int64 *updated)
{
	PgStat_TableXactStatus *level = NULL;

	*deleted = 0;
	*updated = 0;
	/* after an invalidation the counters are there, but not linked */
	if (rel->pgstat_info == NULL && rel->pgstat_enabled)
		pgstat_assoc_relation(rel);
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

int64
fg_tally_unseen_updates(const FgTally *tally, Relation rel)
{
	int64		deleted;
	int64		updated;

	server_counts(rel, &deleted, &updated);
	return Max(updated - tally->updated.total, 0);
}

int64
fg_tally_unseen(const FgTally *tally, Relation rel)
{
	int64		deleted;
	int64		updated;

	server_counts(rel, &deleted, &updated);
	return Max(deleted + updated - tally->deleted.total - tally->updated.total, 0);
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

bool
fg_tally_inserted(Relation rel)
{
	PgStat_TableXactStatus *level = rel->pgstat_info ? rel->pgstat_info->trans : NULL;

	for (; level != NULL; level = level->upper)
	{
		if (level->tuples_inserted > 0)
			return true;
	}
	return false;
}
