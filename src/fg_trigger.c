/*-------------------------------------------------------------------------
 *
 * fg_trigger.c
 *		fortress.guard(), the trigger function of protected tables.
 *
 * It archives old row images after DELETE and UPDATE, where the statement does
 * not do so itself (fg_executor_tap.c), asks for permission before TRUNCATE and
 * archives the whole table then, and where the library was not preloaded it asks
 * fg_decide to refuse everything: the triggers stay on the table whatever becomes
 * of the configuration.  It does so, too, where they stand on a table without a
 * policy: unprotect() takes both away, so somebody has got at the policy's row
 * below SQL, or loaded only a part of a dump.
 *
 * Counting and limits are not its business (see fg_executor.c), except for rows
 * that replication applies.  These come without a statement, and one row
 * trigger is there for them alone: it counts them (fg_trigger_remote.c) and
 * archives them, and is silent about rows of statements, as the others are
 * about applied ones.  In a transaction that has put rows into the table a
 * statement may switch it on for itself: then it only notes which rows those are,
 * for the statement trigger (fg_shadow_own.c).
 *
 * Locks: the shadow's, after the base table's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "fg_decide.h"
#include "fg_guc.h"
#include "fg_install.h"
#include "fg_policy.h"
#include "fg_remote.h"
#include "fg_shadow.h"
#include "fg_trigger.h"
#include "fg_trigger_apart.h"
#include "fg_trigger_remote.h"

PG_FUNCTION_INFO_V1(fg_guard);

static FgOperation
event_operation(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_DELETE(event))
		return FG_OP_DELETE;
	if (TRIGGER_FIRED_BY_TRUNCATE(event))
		return FG_OP_TRUNCATE;
	return FG_OP_UPDATE;
}

/* Somebody may use the function in triggers of his own, which do nothing. */
static bool
named_by_guard(const TriggerData *data)
{
	return strncmp(data->tg_trigger->tgname, "fortress_guard_", 15) == 0;
}

/* Only our own kinds of triggers bring what is used here. */
static bool
made_by_guard(const TriggerData *data)
{
	if (!named_by_guard(data) || TRIGGER_FIRED_BY_INSERT(data->tg_event))
		return false;
	if (TRIGGER_FIRED_AFTER(data->tg_event))
		return TRIGGER_FIRED_FOR_ROW(data->tg_event) || data->tg_oldtable != NULL;
	return TRIGGER_FIRED_FOR_STATEMENT(data->tg_event);
}

/*
 * Archives what a trigger was fired for.  Partitions that have policies of their
 * own archive their rows themselves, by row, and so a statement on the table above
 * leaves them out.
 */
static void
archive_rows(const TriggerData *data, Oid owner, FgOperation op)
{
	char		how = op == FG_OP_DELETE ? FG_SHADOW_OP_DELETE : FG_SHADOW_OP_UPDATE;
	Relation	rel = data->tg_relation;
	Tuplestorestate *old = data->tg_oldtable;
	Tuplestorestate *new = data->tg_newtable;
	FgOwnRows  *own = NULL;
	FgApart    *apart = NULL;

	if (TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
	{
		own = fg_shadow_own_take(RelationGetRelid(rel), op == FG_OP_UPDATE, tuplestore_tuple_count(old));
		apart = fg_apart_begin(rel, &old, &new, own);
	}
	if (!OidIsValid(owner))
		;
	else if (TRIGGER_FIRED_FOR_ROW(data->tg_event) && TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		fg_shadow_archive_update(rel, owner, data->tg_trigtuple, data->tg_newtuple);
	else if (TRIGGER_FIRED_FOR_ROW(data->tg_event))
		fg_shadow_archive_tuple(rel, owner, data->tg_trigtuple, how);
	else if (new != NULL)
		fg_shadow_archive_updates(rel, owner, old, new, own);
	else
		fg_shadow_archive_store(rel, owner, old, how, own);
	fg_apart_end(apart);
	fg_shadow_own_free(own);
}

/* Rows of a statement. */
static void
guard_rows(const TriggerData *data, const FgRelation *entry, FgOperation op)
{
	/* a row that went to another partition fires as a DELETE, and is none */
	if (TRIGGER_FIRED_FOR_ROW(data->tg_event) &&
		HeapTupleHeaderIndicatesMovedPartitions(data->tg_trigtuple->t_data))
		op = FG_OP_UPDATE;
	archive_rows(data, fg_policy_shadow_owner(entry, FG_OP_BIT(op)), op);
}

/* A row that replication applies. */
static void
guard_applied(const TriggerData *data, const FgRelation *entry)
{
	FgOperation op = fg_trigger_remote_operation(data);
	Oid			owner = fg_policy_shadow_owner(entry, FG_OP_BIT(op));

	fg_trigger_remote_count(data, entry, op);
	archive_rows(data, owner, op);
}

/*
 * The trigger for applied rows was switched on for a statement, to note which of
 * its rows its transaction had put in.
 */
static void
note_row(const TriggerData *data)
{
	HeapTupleHeader version = data->tg_trigtuple->t_data;

	fg_shadow_own_note(data->tg_trigger->tgconstrrelid,
					   TRIGGER_FIRED_BY_UPDATE(data->tg_event) || HeapTupleHeaderIndicatesMovedPartitions(version),
					   fg_shadow_own_version(data->tg_relation, version));
}

/* An AFTER trigger was fired: is what was changed its business? */
static void
guard_changed(const TriggerData *data, const FgRelation *entry, FgOperation op)
{
	bool		for_applied = strcmp(data->tg_trigger->tgname, FG_REPLICA_TRIGGER) == 0;
	bool		applied = TRIGGER_FIRED_FOR_ROW(data->tg_event) &&
		fg_remote_applied(data->tg_trigtuple);

	if (for_applied && !applied && OidIsValid(data->tg_trigger->tgconstrrelid))
		note_row(data);
	if (applied != for_applied)
		return;
	if (applied)
		guard_applied(data, entry);
	else
		guard_rows(data, entry, op);
}

/* What needs no policy: asks fg_decide to refuse. */
static void
refuse(FgQuestion question, const TriggerData *data, FgOperation op)
{
	FgRequest	request = {.question = question};
	FgVerdict	verdict;

	request.op = op;
	request.relid = RelationGetRelid(data->tg_relation);
	request.role = GetUserId();
	fg_decide(&request, &verdict);
}

static int64
count_rows(Relation rel)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int64		rows = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		rows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return rows;
}

/*
 * TRUNCATE: asks each policy, archives, and charges the rows where the
 * permission is bounded.
 */
static void
guard_truncate(Relation rel, const FgRelation *entry)
{
	Oid			owner = fg_policy_shadow_owner(entry, FG_ARCHIVE_DELETE);
	int			n_policies = entry->n_policies;
	const FgPolicy **policies = palloc(sizeof(FgPolicy *) * n_policies);
	FgPolicyArena *pin = fg_policy_pin();
	int64		rows = -1;

	memcpy(policies, entry->policies, sizeof(FgPolicy *) * n_policies);
	PG_TRY();
	{
		bool		bounded = false;
		FgRequest	request = {.question = FG_ASK_COMMAND,.op = FG_OP_TRUNCATE};
		FgVerdict	verdict;

		request.relid = RelationGetRelid(rel);
		request.role = fg_remote_role(rel);
		request.what = "TRUNCATE";
		for (int i = 0; i < n_policies; i++)
		{
			request.policy = policies[i];
			fg_decide(&request, &verdict);
			bounded |= verdict.rows_left != PG_INT64_MAX;
		}
		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			if (OidIsValid(owner))
				rows = fg_shadow_archive_all(rel, owner, FG_SHADOW_OP_TRUNCATE);
			if (bounded && rows < 0)
				rows = count_rows(rel);
		}
		for (int i = 0; bounded && rows > 0 && i < n_policies; i++)
		{
			request.policy = policies[i];
			request.n_rows = rows;
			fg_decide(&request, &verdict);
		}
	}
	PG_FINALLY();
	{
		fg_policy_unpin(pin);
	}
	PG_END_TRY();
}

Datum
fg_guard(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	FgOperation op;
	FgRelation *entry;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"fortress.guard\" was not called by trigger manager")));
	op = event_operation(data->tg_event);

	if (!fg_preloaded)
		refuse(FG_ASK_UNLOADED, data, op);
	if (!fg_policy_active())
		return PointerGetDatum(NULL);
	entry = fg_policy_lookup(RelationGetRelid(data->tg_relation));
	if (entry != NULL)
	{
		if (!made_by_guard(data))
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("on a protected table, function \"fortress.guard\" can be fired only by the triggers that fortress.protect() makes"),
					 errhint("Drop trigger \"%s\".", data->tg_trigger->tgname)));
		if (op == FG_OP_TRUNCATE)
			guard_truncate(data->tg_relation, entry);
		else if (TRIGGER_FIRED_AFTER(data->tg_event))
			guard_changed(data, entry, op);
	}
	else if (named_by_guard(data) && !TRIGGER_FIRED_BY_INSERT(data->tg_event))
		refuse(FG_ASK_ORPHANED, data, op);
	return PointerGetDatum(NULL);
}
