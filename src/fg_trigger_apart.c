/*-------------------------------------------------------------------------
 *
 * fg_trigger_apart.c
 *		Rows of partitions that archive for themselves.
 *
 * A partition may have a policy of its own: it had one before it was attached,
 * or before the table above got one.  Its rows are archived by its row triggers
 * then (fg_install.h), whatever relation a statement names, and go to the shadow of
 * the nearest policy that archives them.  The OLD TABLE of a statement that names
 * the table above has these rows, too, and must not bring them a second time, or
 * undo would find them twice.
 *
 * A row of an OLD TABLE does not tell which partition it comes from.  But the
 * constraint of a partition holds for its rows and for no others of the tree, so
 * it is asked, as the server asks it for a row that is inserted.
 *
 * This is rare, and so it is simple: what is left goes to stores of its own.
 *
 * Locks: the statement has locked its partitions; AccessShareLock is taken on those
 * that have policies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/partcache.h"

#include "fg_policy.h"
#include "fg_trigger_apart.h"

struct FgApart
{
	Tuplestorestate *old;
	Tuplestorestate *new;		/* or NULL */
};

/* The constraints of partitions, for rows of a table above: of ExprState, NULL for one that always holds. */
static List *
prepare_constraints(Relation rel, List *partitions, EState *estate)
{
	List	   *constraints = NIL;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		Relation	partition = try_relation_open(lfirst_oid(lc), AccessShareLock);
		List	   *qual;

		if (partition == NULL)
			continue;
		qual = map_partition_varattnos(RelationGetPartitionQual(partition), 1, rel, partition);
		constraints = lappend(constraints, ExecPrepareCheck(qual, estate));
		relation_close(partition, NoLock);
	}
	return constraints;
}

/* Does a row belong to one of the partitions? */
static bool
is_apart(List *constraints, TupleTableSlot *slot, EState *estate)
{
	ExprContext *econtext = GetPerTupleExprContext(estate);
	bool		apart = false;
	ListCell   *lc;

	econtext->ecxt_scantuple = slot;
	foreach(lc, constraints)
		apart = apart || ExecCheck(lfirst(lc), econtext);
	ResetExprContext(econtext);
	return apart;
}

FgApart *
fg_apart_begin(Relation rel, Tuplestorestate **old, Tuplestorestate **new, FgOwnRows *own)
{
	List	   *partitions;
	List	   *constraints;
	EState	   *estate;
	FgApart    *apart;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	/* where there are fewer new rows than old ones, nobody asks which belongs to which */
	bool		paired = *new != NULL && tuplestore_tuple_count(*old) == tuplestore_tuple_count(*new);
	int64		row = 0;
	int64		n_kept = 0;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || tuplestore_tuple_count(*old) == 0)
		return NULL;
	partitions = fg_policy_protected_descendants(RelationGetRelid(rel));
	if (partitions == NIL)
		return NULL;

	estate = CreateExecutorState();
	constraints = prepare_constraints(rel, partitions, estate);
	apart = palloc0(sizeof(FgApart));
	apart->old = tuplestore_begin_heap(false, false, work_mem);
	if (paired)
		apart->new = tuplestore_begin_heap(false, false, work_mem);
	old_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	new_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(*old, 0);
	tuplestore_rescan(*old);
	if (paired)
	{
		tuplestore_select_read_pointer(*new, 0);
		tuplestore_rescan(*new);
	}
	while (tuplestore_gettupleslot(*old, true, false, old_slot) &&
		   (!paired || tuplestore_gettupleslot(*new, true, false, new_slot)))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_apart(constraints, old_slot, estate))
		{
			tuplestore_puttupleslot(apart->old, old_slot);
			if (paired)
				tuplestore_puttupleslot(apart->new, new_slot);
			if (own != NULL)
				fg_shadow_own_move(own, row, n_kept);
			n_kept++;
		}
		row++;
	}
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
	FreeExecutorState(estate);
	*old = apart->old;
	*new = apart->new;
	return apart;
}

void
fg_apart_end(FgApart *apart)
{
	if (apart == NULL)
		return;
	tuplestore_end(apart->old);
	if (apart->new != NULL)
		tuplestore_end(apart->new);
	pfree(apart);
}
