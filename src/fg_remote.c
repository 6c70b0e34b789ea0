/*-------------------------------------------------------------------------
 *
 * fg_remote.c
 *		What a publisher has done and this process applies.
 *
 * A worker of logical replication changes rows one by one, below the executor:
 * no statement, no hook.  Only row triggers that are enabled for replicas tell
 * of it.  Such a trigger cannot see where its row comes from, and a worker
 * runs statements, too: those of the functions that other triggers of the
 * table call.  These are watched like everybody's, so their rows must not be
 * taken for applied ones.  What tells them apart is the command number in the
 * old version of the row.  A statement has one of its own, and the server goes
 * on to the next one before and after each change that it applies.
 *
 * The server says nothing to an extension about the transaction that it
 * applies, except in the context of an error message, which names the
 * replication origin, the publisher's transaction and the kind of change.  So
 * that context is asked for here, without an error.  An UPDATE that moves a row
 * to another partition is applied as a DELETE and an INSERT; nothing but the
 * kind of change says so.
 *
 * When a change is refused, the worker ends, and another one tries the same
 * again some seconds later, for as long as it takes.  All these attempts are
 * one event.  What was recorded is therefore kept among the windows
 * (fg_budget), which outlive the worker and a restart of the server: one row
 * of use under the hash of that text, renewed by each attempt.
 *
 * Locks: none of its own; windows are fg_budget's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/memutils.h"

#include "fg_budget.h"
#include "fg_compat.h"
#include "fg_guc.h"
#include "fg_remote.h"

/* how long it is remembered that a refusal was recorded */
#define RECORDED_FOR	USECS_PER_DAY

/* command numbers of statements, ascending; of this transaction if "noted_in" says so */
static CommandId *noted = NULL;
static int	n_noted = 0;
static int	max_noted = 0;
static LocalTransactionId noted_in = InvalidLocalTransactionId;

bool
fg_remote_applying(void)
{
	return IsLogicalWorker();
}

Oid
fg_remote_role(Relation rel)
{
	Oid			role = GetUserId();

	return IsLogicalWorker() && role == rel->rd_rel->relowner ? GetSessionUserId() : role;
}

/* ----------------------------------------------------------------
 *		Whose row?
 * ----------------------------------------------------------------
 */

/* What was noted in another transaction is gone with its memory. */
static void
forget_others(void)
{
	if (noted_in == FG_MY_LXID)
		return;
	noted_in = FG_MY_LXID;
	noted = NULL;
	n_noted = max_noted = 0;
}

void
fg_remote_note_statement(CommandId command)
{
	if (!IsLogicalWorker())
		return;
	forget_others();
	if (n_noted > 0 && noted[n_noted - 1] >= command)
		return;
	if (n_noted == max_noted)
	{
		int			max = Max(max_noted * 2, 64);

		noted = noted == NULL ?
			MemoryContextAlloc(TopTransactionContext, sizeof(CommandId) * max) :
			repalloc(noted, sizeof(CommandId) * max);
		max_noted = max;
	}
	noted[n_noted++] = command;
}

bool
fg_remote_applied(HeapTuple old)
{
	CommandId	command;

	if (!IsLogicalWorker())
		return false;
	forget_others();
	if (n_noted == 0)
		return true;
	command = HeapTupleHeaderGetCmax(old->t_data);
	for (int i = n_noted - 1; i >= 0 && noted[i] >= command; i--)
	{
		if (noted[i] == command)
			return false;
	}

	/* a later change: no row of the statements before it is still to come */
	if (noted[n_noted - 1] < command)
		n_noted = 0;
	return true;
}

/* ----------------------------------------------------------------
 *		Which change?
 * ----------------------------------------------------------------
 */

/* The worker itself was the first to put something on the stack of contexts. */
char *
fg_remote_transaction(void)
{
	ErrorContextCallback *all = error_context_stack;
	ErrorContextCallback *first = all;
	char	   *text = NULL;

	if (!IsLogicalWorker() || first == NULL)
		return NULL;
	while (first->previous != NULL)
		first = first->previous;
	error_context_stack = first;
	PG_TRY();
	{
		text = GetErrorContextStack();
	}
	PG_FINALLY();
	{
		error_context_stack = all;
	}
	PG_END_TRY();
	return text;
}

static bool
letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		c == '_' || IS_HIGHBIT_SET(c);
}

static bool
has_word(const char *text, const char *word)
{
	size_t		length = strlen(word);

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
	{
		if ((at == text || !letter(at[-1])) && !letter(at[length]))
			return true;
	}
	return false;
}

/*
 * The kinds of changes are the same words in all languages.  A table may bear
 * such a name, too; what could be either is a DELETE.
 */
bool
fg_remote_updates(void)
{
	char	   *text = fg_remote_transaction();

	return text != NULL && has_word(text, "UPDATE") && !has_word(text, "DELETE");
}

/* ----------------------------------------------------------------
 *		Recorded once
 * ----------------------------------------------------------------
 */

static void
recorded_key(FgWindowKey *key, const char *transaction)
{
	const unsigned char *text = (const unsigned char *) transaction;
	uint64		hashes[2];

	StaticAssertStmt(sizeof(hashes) == sizeof(key->who), "two hashes fill a key");
	for (int i = 0; i < lengthof(hashes); i++)
		hashes[i] = hash_bytes_extended(text, strlen(transaction), i);
	memset(key, 0, sizeof(*key));
	key->database = MyDatabaseId;
	key->interval = RECORDED_FOR;
	key->by = FG_WINDOW_REMOTE;
	memcpy(key->who, hashes, sizeof(hashes));
}

bool
fg_remote_recorded(const char *transaction)
{
	FgWindowKey key;

	if (!fg_preloaded)
		return false;			/* without shared memory, nothing is remembered */
	recorded_key(&key, transaction);
	if (fg_budget_used(&key) == 0)
		return false;
	fg_budget_mark(&key);
	return true;
}

void
fg_remote_record(const char *transaction)
{
	FgWindowKey key;

	if (!fg_preloaded)
		return;
	recorded_key(&key, transaction);
	fg_budget_mark(&key);
}
