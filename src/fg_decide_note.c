/*-------------------------------------------------------------------------
 *
 * fg_decide_note.c
 *		What was let through over a limit, or without a condition.
 *
 * One permission may serve thousands of statements of a transaction, and each
 * of them is a question of its own.  What they have in common makes one event,
 * with the rows of all, so it is kept until the transaction is about to commit.
 * Rows of a savepoint that was rolled back have not gone, so they are kept in
 * counters that follow savepoints.
 *
 * Locks: none, all this is the backend's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "fg_counter.h"
#include "fg_decide_note.h"
#include "fg_event.h"
#include "fg_remote.h"
#include "fg_statement.h"

/* What was let through over a limit: one event a transaction, before commit. */
typedef struct FgNote
{
	dlist_node	link;
	Oid			policy;
	FgOperation op;
	bool		observed;		/* else permitted */
	char	   *by;				/* which permission */
	const char *relation;		/* the policy's table as it is called now */
	Oid			role;			/* of the first statement */
	char	   *query;			/* its text */
	int64		max_rows;		/* of the limit that was exceeded; -1: none */
	FgCounter	times;
	FgCounter	rows;
} FgNote;

static dlist_head notes = DLIST_STATIC_INIT(notes);

void
fg_note_passed(Oid policy, FgOperation op, Oid role, const FgPermission *permission,
			   int64 rows, int64 max_rows)
{
	bool		observed = permission == NULL;
	char	   *by = observed ? NULL : fg_auth_describe(permission);
	FgNote	   *note = NULL;
	dlist_iter	iter;
	MemoryContext old;

	if (!observed && permission->kind == FG_PERMIT_INTERNAL)
		return;					/* the caller has an event of its own */
	dlist_foreach(iter, &notes)
	{
		FgNote	   *other = dlist_container(FgNote, link, iter.cur);

		if (other->policy == policy && other->op == op && other->observed == observed &&
			(observed || strcmp(other->by, by) == 0))
			note = other;
	}
	if (note == NULL)
	{
		old = MemoryContextSwitchTo(TopTransactionContext);
		note = palloc0(sizeof(FgNote));
		note->policy = policy;
		note->op = op;
		note->observed = observed;
		note->by = observed ? NULL : pstrdup(by);
		note->relation = OidIsValid(policy) ? fg_event_relation(policy) : NULL;
		note->role = role;
		note->query = fg_statement_text();
		note->max_rows = max_rows;
		fg_counter_init(&note->times, NULL, NULL);
		fg_counter_init(&note->rows, NULL, NULL);
		dlist_push_tail(&notes, &note->link);
		MemoryContextSwitchTo(old);
	}
	fg_counter_add(&note->times, 1);
	fg_counter_add(&note->rows, rows);
}

/*
 * What was only observed must not fail for its record; what was permitted must
 * not happen without.
 */
void
fg_note_write_all(void)
{
	dlist_iter	iter;

	if (dlist_is_empty(&notes))
		return;
	dlist_foreach(iter, &notes)
	{
		FgNote	   *note = dlist_container(FgNote, link, iter.cur);
		FgEvent		event = {0};

		if (note->times.total <= 0)
			continue;			/* rolled back to a savepoint */
		event.name = note->observed ? "observed" : "permitted";
		event.operation = fg_operation_name(note->op);
		event.relid = note->policy;
		event.relation = note->relation;
		event.role = note->role;
		event.rows = note->rows.total;
		event.max_rows = note->max_rows;
		event.detail = fg_event_detail(note->by, fg_remote_transaction());
		event.query = note->query != NULL ? note->query : "";
		fg_event_queue(&event, !note->observed);
	}
}

void
fg_note_forget_all(void)
{
	dlist_init(&notes);
}
