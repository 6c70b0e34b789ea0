/*-------------------------------------------------------------------------
 *
 * fg_auth_token.c
 *		Tokens: redeeming them, and what a redeemed one still covers.
 *
 * What this backend has unlocked is kept here and nowhere else; no setting and
 * no table that a user can write says it.  A "use" is one of the numbered uses
 * of a token, which belongs to the transaction that redeemed it; a "grant" is
 * what the use opens.  Opening the same token again, after fortress.lock() or
 * for the session, makes another grant of the same use.  Both remember the
 * subtransaction in which they came, and grants the one in which they were
 * closed, so that ROLLBACK TO undoes either.
 *
 * What keeps the bounds of a token between sessions:
 *
 * Uses: whoever redeems number n holds a heavyweight lock on (fortress.token,
 * id, n) until the transaction ends, also while it is prepared, and writes the
 * use before it commits.  The lock is of the kind that DDL takes on objects,
 * which no SQL function takes for this table, and it is not waited for: who
 * needs the last use fails at once.  A rollback releases it and wrote nothing.
 *
 * Rows: first they are reserved in shared memory (fg_budget.c), then those of
 * committed and prepared transactions are read, and only if both together fit
 * the reservation stays.  A transaction's reservation ends after its rows
 * can be read, so that there is no moment in which they count nowhere; for a
 * moment they may count twice, which refuses too much and never too little.
 *
 * What is refused here: redeeming a token that is not valid (ZG009); redeeming
 * during recovery or in a read-only transaction; scope session without
 * fortress.session_unlock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fg_auth.h"
#include "fg_auth_token.h"
#include "fg_budget.h"
#include "fg_catalog.h"
#include "fg_catalog_auth.h"
#include "fg_counter.h"
#include "fg_errors.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_xact.h"

/* One use of a token that this backend has redeemed; in TopMemoryContext. */
typedef struct FgUse
{
	dlist_node	link;
	int64		token;
	int			number;
	Oid			session_user;	/* who redeemed it */
	int			level;			/* nest level that redeemed it; 0: an earlier
								 * transaction, for session scope */
	bool		counting;		/* is "rows" live in this transaction? */
	FgCounter	rows;			/* what this transaction has taken */
} FgUse;

/* What a use opens; in TopMemoryContext. */
typedef struct FgGrant
{
	dlist_node	link;
	FgUse	   *use;
	bool		session_scope;
	int			opened_level;	/* nest level; 0: an earlier transaction */
	int			closed_level;	/* nest level of lock(); 0: open */
	bool		ended;			/* by DISCARD or RESET ALL: for good */
} FgGrant;

static dlist_head uses = DLIST_STATIC_INIT(uses);
static dlist_head grants = DLIST_STATIC_INIT(grants);

/* DISCARD ALL or RESET ALL was seen: a token of the connection string is dead */
static bool connection_token_dead = false;

/* ----------------------------------------------------------------
 *		Words
 * ----------------------------------------------------------------
 */

/*
 * Logs and raises ZG009.  To somebody who guesses, all wrong secrets look the
 * same; whoever holds a real one learns in "detail" what is the matter with
 * it.  Who guesses also waits.  The statement stays out of the log: it may hold
 * the secret.
 */
static void pg_attribute_noreturn()
refuse_token(int64 id, const char *reason, const char *detail)
{
	bool		in_use = strcmp(reason, "in use") == 0;
	FgEvent		event;

	fg_event_init(&event, "token_refused",
			   id > 0 ? psprintf("token " INT64_FORMAT ": %s", id, reason) : reason);
	event.sqlerrcode = ERRCODE_FG_INVALID_TOKEN;
	fg_event_write(&event);
	if (id == 0)
		fg_auth_delay();
	ereport(ERROR,
			(errcode(ERRCODE_FG_INVALID_TOKEN),
			 errmsg("token is not valid"),
			 detail != NULL ? errdetail_internal("%s", detail) : 0,
			 in_use ? errhint("Try again when that transaction has ended.") :
			 errhint("Ask a member of fortress_admin for a new token."),
			 errhidestmt(true), errhidecontext(true)));
}

/* ----------------------------------------------------------------
 *		Uses and grants of this backend
 * ----------------------------------------------------------------
 */

static void
forget_use(FgUse *use)
{
	dlist_delete(&use->link);
	pfree(use);
}

static void
forget_grant(FgGrant *grant)
{
	dlist_delete(&grant->link);
	pfree(grant);
}

static bool
use_has_grant(const FgUse *use)
{
	dlist_iter	iter;

	dlist_foreach(iter, &grants)
	{
		if (dlist_container(FgGrant, link, iter.cur)->use == use)
			return true;
	}
	return false;
}

/*
 * Does the grant hold now?  Scope session also depends on the setting, at each
 * look.
 */
static bool
grant_open(const FgGrant *grant)
{
	return grant->closed_level == 0 && !grant->ended &&
		grant->use->session_user == GetSessionUserId() &&
		(!grant->session_scope || fg_session_unlock);
}

/* The use by which a token is open here, for at least that scope, or NULL. */
static FgUse *
find_open_use(int64 token, bool session_scope)
{
	dlist_iter	iter;

	dlist_foreach(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant->use->token == token && grant_open(grant) &&
			(grant->session_scope || !session_scope))
			return grant->use;
	}
	return NULL;
}

/*
 * A use that can be opened once more without spending another: one of this
 * transaction, or one that is open or only locked for the session.  NULL: none.
 */
static FgUse *
find_reusable_use(int64 token)
{
	dlist_iter	iter;

	dlist_foreach(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant->use->token == token &&
			grant->use->session_user == GetSessionUserId() &&
			(grant->use->level > 0 || (fg_session_unlock && !grant->ended)))
			return grant->use;
	}
	return NULL;
}

/* ----------------------------------------------------------------
 *		Redeeming
 * ----------------------------------------------------------------
 */

/*
 * A token with for_role is for sessions of that role, for what was reached by
 * SET ROLE to it, and for what runs as it.
 */
static bool
role_fits(const FgTokenRow *row, Oid role)
{
	if (row->any_role)
		return true;
	return OidIsValid(row->role) &&
		(row->role == GetSessionUserId() || row->role == GetOuterUserId() ||
		 row->role == role);
}

/* Nothing is revoked of a request's token: the request is rejected. */
static bool
token_revoked(const FgTokenRow *row)
{
	return row->revoked ||
		(row->origin == FG_TOKEN_REQUEST && !fg_auth_request_stands(row->request));
}

static bool
token_live(const FgTokenRow *row, Oid role)
{
	return row != NULL && !token_revoked(row) && row->valid_until > GetCurrentTimestamp() &&
		role_fits(row, role);
}

/* A token for some relations says nothing about the guard itself (InvalidOid). */
static bool
token_covers(const FgTokenRow *row, FgOperation op, Oid relid)
{
	return (row->operations & FG_OP_BIT(op)) != 0 &&
		(row->any_relation || list_member_oid(row->relids, relid));
}

/* The token of a secret; raises ZG009 unless "role" may redeem it. */
static FgTokenRow *
check_secret(const char *secret, Oid role)
{
	uint8		hash[FG_HASH_LENGTH];
	FgTokenRow *row = NULL;

	if (fg_crypto_token_well_formed(secret))
	{
		fg_crypto_hash(secret, hash);
		row = fg_catalog_token_by_hash(hash);
		if (row != NULL && !fg_crypto_equal(row->hash, hash, FG_HASH_LENGTH))
			row = NULL;
	}
	if (row == NULL)
		refuse_token(0, "unknown", NULL);
	if (row->revoked)
		refuse_token(row->id, "revoked",
					 psprintf("Token " INT64_FORMAT " has been revoked.", row->id));
	if (row->valid_until <= GetCurrentTimestamp())
		refuse_token(row->id, "expired",
					 psprintf("Token " INT64_FORMAT " was valid until %s.", row->id,
							  timestamptz_to_str(row->valid_until)));
	if (!role_fits(row, role))
		refuse_token(row->id, "for another role",
					 psprintf("Token " INT64_FORMAT " is for another role.", row->id));
	return row;
}

/* Has this backend redeemed that use, in whatever session user's name? */
static bool
use_is_ours(int64 token, int number)
{
	dlist_iter	iter;

	dlist_foreach(iter, &uses)
	{
		FgUse	   *use = dlist_container(FgUse, link, iter.cur);

		if (use->token == token && use->number == number)
			return true;
	}
	return false;
}

/*
 * Takes a free use of a token: a number that is not committed and whose lock
 * nobody has.  That it is not committed is looked at again under the lock.  A
 * lock that turns out useless stays until the transaction ends, which harms
 * nobody: its number is spent.
 */
static int
take_use(const FgTokenRow *row)
{
	Bitmapset  *spent = NULL;
	bool		busy = false;
	int			first = 1;
	int			last;

	if (row->uses >= 0)
	{
		fg_catalog_token_uses(row->id, &spent, NULL);
		last = row->uses;
	}
	else
	{
		/* there can't be more transactions in between than there are locks */
		first = fg_catalog_last_token_use(row->id);
		first = first < PG_INT32_MAX - PG_UINT16_MAX ? first + 1 : PG_INT32_MAX;
		last = first < PG_INT32_MAX ? first + PG_UINT16_MAX : 0;
	}

	for (int64 number = first; number <= last; number++)
	{
		if (bms_is_member((int) number, spent) || use_is_ours(row->id, (int) number))
			continue;
		if (!fg_catalog_lock_token_use(row->id, (int) number))
		{
			busy = true;
			continue;
		}
		if (!fg_catalog_token_use_exists(row->id, (int) number))
			return (int) number;
	}

	if (busy)
		refuse_token(row->id, "in use",
					 psprintf("The last use of token " INT64_FORMAT
							  " is taken by a transaction that is still running or prepared.",
							  row->id));
	refuse_token(row->id, "used up",
				 psprintf("All uses of token " INT64_FORMAT " are spent.", row->id));
}

/*
 * Opens a token that check_secret() gave, and takes one of its uses unless
 * this transaction or session has one already.
 */
static void
open_token(const FgTokenRow *row, bool session_scope)
{
	FgUse	   *use;
	FgGrant    *grant;
	FgEvent		event;

	if (find_open_use(row->id, session_scope) != NULL)
		return;
	fg_xact_touch();
	use = find_reusable_use(row->id);
	if (use == NULL)
	{
		int			number;

		/* not the server's own function: that would log the statement */
		if (XactReadOnly || RecoveryInProgress())
			ereport(ERROR,
					(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					 errmsg("a token cannot be redeemed %s",
							RecoveryInProgress() ? "during recovery" :
							"in a read-only transaction"),
					 errhidestmt(true), errhidecontext(true)));
		number = take_use(row);
		use = MemoryContextAllocZero(TopMemoryContext, sizeof(FgUse));
		use->token = row->id;
		use->number = number;
		use->session_user = GetSessionUserId();
		use->level = GetCurrentTransactionNestLevel();
		dlist_push_tail(&uses, &use->link);
	}
	grant = MemoryContextAllocZero(TopMemoryContext, sizeof(FgGrant));
	grant->use = use;
	grant->session_scope = session_scope;
	grant->opened_level = GetCurrentTransactionNestLevel();
	dlist_push_tail(&grants, &grant->link);
	fg_event_init(&event, "token_used",
			   psprintf("token " INT64_FORMAT ", use %d, scope %s%s", row->id, use->number,
						session_scope ? "session" : "transaction",
						row->request == 0 ? "" :
						psprintf(", request " INT64_FORMAT, row->request)));
	fg_event_queue(&event, true);
}

void
fg_auth_unlock(const char *secret, bool session_scope)
{
	if (session_scope && !fg_session_unlock)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tokens cannot be unlocked for a session"),
				 errdetail("The setting fortress.session_unlock is off."),
				 errhint("Unlock for the transaction: call fortress.unlock() after BEGIN, in the transaction that needs it."),
				 errhidestmt(true), errhidecontext(true)));
	open_token(check_secret(secret, GetUserId()), session_scope);
}

bool
fg_auth_token_reopen(const FgTokenRow *row)
{
	if (find_reusable_use(row->id) == NULL)
		return false;
	open_token(row, false);
	return true;
}

int64
fg_auth_open_own(FgTokenRow *row)
{
	fg_crypto_hash(fg_crypto_new_token(), row->hash);
	row->id = fg_catalog_add_token(row);
	open_token(row, false);
	return row->id;
}

/*
 * Clearing fortress.token belongs to it: otherwise the next statement would
 * redeem that token anew.  The setting follows savepoints by itself.
 */
void
fg_auth_lock(void)
{
	FgTokenSetting setting;
	bool		locked = false;
	dlist_iter	iter;

	fg_xact_touch();
	dlist_foreach(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant->closed_level != 0)
			continue;
		grant->closed_level = GetCurrentTransactionNestLevel();
		locked = true;
	}
	if (fg_guc_token(&setting))
	{
		SetConfigOption("fortress.token", "", PGC_USERSET, PGC_S_SESSION);
		locked = true;
	}
	if (locked)
	{
		FgEvent		event;

		fg_event_init(&event, "locked", NULL);
		fg_event_queue(&event, false);
	}
}

/*
 * No rollback brings back what ends here.  A grant of session scope that this
 * transaction has opened keeps its use, which is spent if it commits.
 */
void
fg_auth_discard(void)
{
	dlist_iter	iter;

	connection_token_dead = true;
	fg_xact_touch();
	dlist_foreach(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant->session_scope)
			grant->ended = true;
	}
}

/* ----------------------------------------------------------------
 *		Rows of a token
 * ----------------------------------------------------------------
 */

static void
token_key(FgWindowKey *key, int64 token)
{
	fg_budget_key(key, (Oid) token, FG_OP_DELETE, FG_BY_TABLE, 0);
	key->by = FG_WINDOW_TOKEN;
}

/* As far as one can tell without reserving. */
static int64
token_rows_left(const FgTokenRow *row)
{
	FgWindowKey key;
	int64		running;
	int64		spent;

	if (row->max_rows < 0)
		return PG_INT64_MAX;
	token_key(&key, row->id);
	running = fg_budget_used(&key);
	fg_catalog_token_uses(row->id, NULL, &spent);
	return Max(row->max_rows - spent - running, 0);
}

/* Reserves rows of a bounded token; false: that many are not left. */
static bool
reserve_token_rows(const FgTokenRow *row, int64 rows)
{
	FgWindowKey key;
	int64		running;
	int64		spent;

	token_key(&key, row->id);
	if (fg_budget_reserve(&key, rows, row->max_rows, false, &running) != FG_RESERVE_DONE)
		return false;
	fg_catalog_token_uses(row->id, NULL, &spent);
	if (running + spent <= row->max_rows)
		return true;
	fg_budget_give_back(&key, rows);
	return false;
}

/* ----------------------------------------------------------------
 *		Finding and charging
 * ----------------------------------------------------------------
 */

static void
find_grant(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found)
{
	dlist_iter	iter;

	dlist_foreach(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);
		FgTokenRow *row;

		if (!grant_open(grant))
			continue;
		row = fg_catalog_token_by_id(grant->use->token);
		if (token_live(row, role) && token_covers(row, op, relid) &&
			(!found->needs_approval || row->origin == FG_TOKEN_REQUEST))
			fg_auth_offer(found, FG_PERMIT_TOKEN, row->id, token_rows_left(row), rows);
	}
}

/*
 * The token that is set as fortress.token, if this transaction has not opened
 * it yet.  It is redeemed only where it helps, so that no use is spent on a
 * statement that it cannot let pass; a bad one is refused in any case.
 */
static void
find_pending(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found)
{
	FgTokenSetting setting;
	FgTokenRow *row;

	if (!fg_guc_token(&setting))
		return;
	if (setting.from_connection ? connection_token_dead :
		!setting.this_transaction && !fg_session_unlock)
	{
		found->stale_token = true;
		return;
	}
	row = check_secret(setting.secret, role);
	if (find_open_use(row->id, false) != NULL || !token_covers(row, op, relid))
		return;
	fg_auth_offer(found, FG_PERMIT_TOKEN, row->id, token_rows_left(row), rows);
	if (found->kind != FG_PERMIT_NONE)
		open_token(row, false);
}

void
fg_auth_token_find(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found)
{
	find_grant(op, relid, role, rows, found);
	if (found->kind == FG_PERMIT_NONE && !found->needs_approval)
		find_pending(op, relid, role, rows, found);
}

/*
 * That the token has expired since it was found does not matter here: a
 * statement that began in time may end.
 */
bool
fg_auth_token_charge(int64 token, int64 rows)
{
	FgUse	   *use = find_open_use(token, false);
	FgTokenRow *row;

	if (use == NULL)
		return false;
	row = fg_catalog_token_by_id(token);
	if (row == NULL || token_revoked(row))
		return false;
	if (row->max_rows >= 0 && !reserve_token_rows(row, rows))
		return false;
	if (!use->counting)
	{
		fg_counter_init(&use->rows, NULL, NULL);
		use->counting = true;
	}
	fg_counter_add(&use->rows, rows);
	return true;
}

/* ----------------------------------------------------------------
 *		Ends of transactions
 * ----------------------------------------------------------------
 */

/*
 * Writes what this transaction spends: the uses that it redeemed, and the rows
 * that it took on a use of an earlier transaction.  It runs while
 * the transaction can still fail.  After DROP EXTENSION there is nothing to
 * write into.
 */
static void
write_uses(void)
{
	dlist_iter	iter;

	if (dlist_is_empty(&uses) || !fg_catalog_present())
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	dlist_foreach(iter, &uses)
	{
		FgUse	   *use = dlist_container(FgUse, link, iter.cur);
		int64		rows = use->counting ? use->rows.total : 0;

		if (use->level > 0 || rows > 0)
			fg_catalog_add_token_use(use->token, use->number, rows);
	}
	PopActiveSnapshot();
}

/* Does session scope keep this grant after a transaction that ends so? */
static bool
grant_survives(const FgGrant *grant, XactEvent event)
{
	if (!grant->session_scope || grant->ended)
		return false;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			return grant->closed_level == 0;
		case XACT_EVENT_PREPARE:

			/*
			 * What a prepared transaction has used goes with it: until it
			 * ends, its rows stand in the way of writing more for this use.
			 */
			return grant->closed_level == 0 && grant->use->level == 0 &&
				!grant->use->counting;
		default:
			return grant->opened_level == 0;
	}
}

static void
end_transaction(XactEvent event)
{
	dlist_mutable_iter iter;

	if (dlist_is_empty(&grants) && dlist_is_empty(&uses))
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			write_uses();
			return;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}

	dlist_foreach_modify(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant_survives(grant, event))
		{
			grant->opened_level = 0;
			grant->closed_level = 0;
		}
		else
			forget_grant(grant);
	}
	dlist_foreach_modify(iter, &uses)
	{
		FgUse	   *use = dlist_container(FgUse, link, iter.cur);

		if (use_has_grant(use))
		{
			use->counting = false;
			use->level = 0;
		}
		else
			forget_use(use);
	}
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	bool		abort = event == SUBXACT_EVENT_ABORT_SUB;
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_COMMIT_SUB && !abort)
		return;

	dlist_foreach_modify(iter, &grants)
	{
		FgGrant    *grant = dlist_container(FgGrant, link, iter.cur);

		if (grant->closed_level >= level)
			grant->closed_level = abort ? 0 : level - 1;
		if (grant->opened_level >= level)
		{
			if (abort)
				forget_grant(grant);
			else
				grant->opened_level = level - 1;
		}
	}
	dlist_foreach_modify(iter, &uses)
	{
		FgUse	   *use = dlist_container(FgUse, link, iter.cur);

		if (use->level >= level)
		{
			if (!abort)
				use->level = level - 1;
			else
			{
				if (use->counting)
					fg_counter_forget(&use->rows);
				forget_use(use);
			}
		}
	}
}

void
fg_auth_token_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, FG_XACT_EARLY | FG_XACT_ROWS);
}
