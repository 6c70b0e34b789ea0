/*-------------------------------------------------------------------------
 *
 * fg_shadow_own.c
 *		Rows that the transaction itself had put in.
 *
 * A row that a transaction inserts and then deletes or updates was not there
 * before it, and an undo must not bring it back.  The header of the old version
 * tells: it was made by this transaction, and not by an update.  Where it might
 * be otherwise, nothing is said, and the row comes back as any other:
 *
 *	- a relation whose definition this transaction has changed may have been
 *	  written anew as a whole, or have become a part of a protected tree;
 *	- in a partition, a row may have been moved there, which looks like an
 *	  insert.  If updates are archived, the image that the move left comes first
 *	  and tells what was there; if they are not, or have not been all the time,
 *	  nothing does.
 *
 * The tables of old rows that statement triggers get have no headers.  Where a
 * statement may touch such rows (fg_executor_inserted.c), a row trigger sees
 * each of them as well, in the same order and before the statement trigger, and
 * notes here which are meant; the statement trigger takes the notes.
 *
 * Locks: none, all state here belongs to the backend.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "nodes/pg_list.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fg_catalog.h"
#include "fg_shadow.h"
#include "fg_xact.h"

/* What one firing of a statement's triggers has noted of its rows. */
struct FgOwnRows
{
	int			depth;			/* of nested triggers */
	Oid			named;			/* the relation that the statement named */
	bool		updated;		/* else deleted */
	int			nest_level;
	int64		n_rows;
	int64		n_bytes;
	uint8	   *bits;			/* one for each row, in TopTransactionContext */
};

static List *notes = NIL;		/* of FgOwnRows *, in TopTransactionContext */

/* what is_plain() has found last */
static Oid	judged_relid = InvalidOid;
static TransactionId judged_xid = InvalidTransactionId;
static CommandId judged_cid = InvalidCommandId;
static bool judged_plain = false;

/* Was the definition of a relation changed in this transaction? */
static bool
changed_here(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		changed;

	if (!HeapTupleIsValid(tuple))
		return true;
	changed = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple->t_data));
	ReleaseSysCache(tuple);
	return changed;
}

/* Does a policy leave traces of every move, and has it always in this transaction? */
static bool
keeps_moves(Oid relid)
{
	FgPolicyRow *policy = fg_catalog_get_policy(relid);

	if (policy == NULL)
		return true;
	return !policy->changed_here &&
		(policy->mode == FG_MODE_OFF || policy->archive == FG_ARCHIVE_NONE ||
		 (policy->archive & FG_ARCHIVE_UPDATE) != 0);
}

/* Is a version that looks inserted in this relation surely just that? */
static bool
is_plain(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	List	   *ancestors;
	ListCell   *lc;
	bool		plain;

	if (changed_here(relid))
		return false;
	if (!rel->rd_rel->relispartition)
		return true;
	plain = keeps_moves(relid);
	ancestors = get_partition_ancestors(relid);
	foreach(lc, ancestors)
		plain = plain && !changed_here(lfirst_oid(lc)) && keeps_moves(lfirst_oid(lc));
	list_free(ancestors);
	return plain;
}

bool
fg_shadow_own_version(Relation rel, HeapTupleHeader version)
{
	if ((version->t_infomask & HEAP_UPDATED) != 0 ||
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(version)))
		return false;

	/* what changes the answer is a command of its own */
	if (judged_relid != RelationGetRelid(rel) || judged_cid != GetCurrentCommandId(false) ||
		judged_xid != GetTopTransactionIdIfAny())
	{
		judged_plain = is_plain(rel);
		judged_relid = RelationGetRelid(rel);
		judged_cid = GetCurrentCommandId(false);
		judged_xid = GetTopTransactionIdIfAny();
	}
	return judged_plain;
}

static FgOwnRows *
find_notes(Oid named, bool updated)
{
	int			depth = DatumGetInt32(pg_trigger_depth(NULL));
	ListCell   *lc;

	foreach(lc, notes)
	{
		FgOwnRows  *own = lfirst(lc);

		if (own->depth == depth && own->named == named && own->updated == updated)
			return own;
	}
	return NULL;
}

void
fg_shadow_own_note(Oid named, bool updated, bool own_version)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	FgOwnRows  *own = find_notes(named, updated);

	if (own == NULL)
	{
		own = palloc0(sizeof(FgOwnRows));
		own->depth = DatumGetInt32(pg_trigger_depth(NULL));
		own->named = named;
		own->updated = updated;
		own->nest_level = GetCurrentTransactionNestLevel();
		own->n_bytes = 64;
		own->bits = palloc(own->n_bytes);
		notes = lappend(notes, own);
		fg_xact_touch();
	}
	if (own->n_rows / 8 >= own->n_bytes)
	{
		own->n_bytes *= 2;
		own->bits = repalloc_huge(own->bits, own->n_bytes);
	}
	if (own->n_rows % 8 == 0)
		own->bits[own->n_rows / 8] = 0;
	if (own_version)
		own->bits[own->n_rows / 8] |= 1 << (own->n_rows % 8);
	own->n_rows++;
	MemoryContextSwitchTo(old);
}

FgOwnRows *
fg_shadow_own_take(Oid named, bool updated, int64 n_rows)
{
	FgOwnRows  *own;

	if (notes == NIL)
		return NULL;
	own = find_notes(named, updated);
	if (own == NULL)
		return NULL;
	notes = list_delete_ptr(notes, own);
	if (own->n_rows == n_rows)
		return own;
	fg_shadow_own_free(own);
	return NULL;
}

bool
fg_shadow_own_row(const FgOwnRows *own, int64 row)
{
	return (own->bits[row / 8] & (1 << (row % 8))) != 0;
}

void
fg_shadow_own_move(FgOwnRows *own, int64 row, int64 place)
{
	uint8		bit = 1 << (place % 8);

	if (fg_shadow_own_row(own, row))
		own->bits[place / 8] |= bit;
	else
		own->bits[place / 8] &= ~bit;
}

void
fg_shadow_own_free(FgOwnRows *own)
{
	if (own == NULL)
		return;
	pfree(own->bits);
	pfree(own);
}

static void
end_transaction(XactEvent event)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		notes = NIL;
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, notes)
	{
		if (((FgOwnRows *) lfirst(lc))->nest_level >= level)
			notes = foreach_delete_current(notes, lc);
	}
}

void
fg_shadow_own_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, 0);
}
