/*-------------------------------------------------------------------------
 *
 * fg_decide_account.c
 *		The accounts of statements, and what is charged to them.
 *
 * A statement has an account with each policy that it touches, and the limits of
 * the policy are asked there: the statement's own count, the transaction's total,
 * which its statements share, and every window.  Nothing is refused here;
 * fg_decide.c asks whether the rows are too many, and says what follows.
 *
 * Savepoints: what a statement and a transaction have counted is kept in
 * counters that follow them, and windows have the like (fg_budget.c).  After a
 * refusal the rows that the refused statement counted are made to stick to the
 * transaction: rolling back to a savepoint does not return them.
 *
 * An account with nothing in it but what follows from the policy and the session
 * user is kept with the policy for the next statement, as working it out costs
 * more than a row.
 *
 * Locks: none of its own; windows are fg_budget's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "fg_decide_account.h"

static dlist_head accounts = DLIST_STATIC_INIT(accounts);
static dlist_head totals = DLIST_STATIC_INIT(totals);
static FgTotal first_total;		/* others are in TopTransactionContext */

/* ----------------------------------------------------------------
 *		Accounts
 * ----------------------------------------------------------------
 */

static FgTotal *
find_total(Oid policy)
{
	FgTotal    *total;
	dlist_iter	iter;

	dlist_foreach(iter, &totals)
	{
		total = dlist_container(FgTotal, link, iter.cur);
		if (total->policy == policy)
			return total;
	}
	total = dlist_is_empty(&totals) ? &first_total :
		MemoryContextAlloc(TopTransactionContext, sizeof(FgTotal));
	total->policy = policy;
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		fg_counter_init(&total->rows[op], NULL, NULL);
	dlist_push_tail(&totals, &total->link);
	return total;
}

/* Adds an operation's limits per interval, or the others, to the bounds; how many they are. */
static int
add_bounds(FgAccount *account, FgPolicy *policy, FgOperation op, bool windows, int at)
{
	int			n = 0;

	for (int i = 0; i < policy->n_limits; i++)
	{
		const FgLimit *limit = &policy->limits[i];
		FgBound    *bound = &account->bounds[at + n];

		if (limit->op != op || (limit->per == FG_PER_INTERVAL) != windows)
			continue;
		bound->limit = limit;
		bound->max_rows = fg_policy_limit_rows(policy, limit);
		account->lasting &= limit->max_rows >= 0;
		if (windows)
			fg_budget_key(&bound->key, policy->relid, op, limit->by, limit->interval);
		n++;
	}
	return n;
}

/*
 * An account with the bounds of a policy, in the policy's arena.  One that no
 * statement uses is kept there, unless limits that are fractions have to be
 * worked out anew.
 */
static FgAccount *
take_account(FgPolicy *policy)
{
	FgAccount  *account = policy->account;
	int			n_bounds = 0;

	policy->account = NULL;
	if (account != NULL && account->session_user == GetSessionUserId())
		return account;
	if (account != NULL)
		pfree(account);
	account = MemoryContextAllocZero(GetMemoryChunkContext(policy),
									 offsetof(FgAccount, bounds) + sizeof(FgBound) * policy->n_limits);
	account->session_user = GetSessionUserId();
	account->lasting = true;
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		FgBounds   *of = &account->of[op];

		of->first = &account->bounds[n_bounds];
		n_bounds += of->n = add_bounds(account, policy, op, false, n_bounds);
		of->windows = &account->bounds[n_bounds];
		n_bounds += of->n_windows = add_bounds(account, policy, op, true, n_bounds);
	}
	return account;
}

FgAccount *
fg_decide_account(uint64 scope, FgPolicy *policy, Oid role, bool internal)
{
	FgAccount  *account;
	dlist_iter	iter;

	dlist_foreach(iter, &accounts)
	{
		account = dlist_container(FgAccount, link, iter.cur);
		if (account->scope == scope && account->policy->relid == policy->relid)
			return account;
	}

	account = take_account(policy);
	account->scope = scope;
	account->policy = policy;
	account->role = role;
	account->total = find_total(policy->relid);
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
	{
		fg_counter_init(&account->counted[op], NULL, NULL);
		account->observed[op] = false;
		account->permission[op] = (FgPermission)
		{
			.kind = internal ? FG_PERMIT_INTERNAL : FG_PERMIT_NONE,
			.rows_left = internal ? PG_INT64_MAX : 0
		};
	}
	fg_policy_pin_arena(policy->arena);
	dlist_push_head(&accounts, &account->link);
	return account;
}

const FgPolicy *
fg_decide_policy(const FgAccount *account)
{
	return account->policy;
}

static void
close_account(FgAccount *account)
{
	FgPolicy   *policy = account->policy;

	dlist_delete(&account->link);
	for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		fg_counter_forget(&account->counted[op]);
	if (account->lasting && policy->account == NULL)
		policy->account = account;
	else
		pfree(account);
	fg_policy_unpin(policy->arena);
}

void
fg_decide_close_scope(uint64 scope)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &accounts)
	{
		FgAccount  *account = dlist_container(FgAccount, link, iter.cur);

		if (account->scope == scope)
			close_account(account);
	}
}

/* The list of totals lives in the transaction's memory. */
void
fg_account_end_all(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &accounts)
		close_account(dlist_container(FgAccount, link, iter.cur));
	dlist_init(&totals);
}

/* ----------------------------------------------------------------
 *		Charging
 * ----------------------------------------------------------------
 */

void
fg_account_charge(FgAccount *account, FgOperation op, int64 n, bool force,
				  int64 *left, FgExcess *excess)
{
	const FgBounds *of = &account->of[op];

	excess->bound = NULL;
	excess->no_room = false;

	fg_counter_add(&account->counted[op], n);
	fg_counter_add(&account->total->rows[op], n);

	for (int i = 0; i < of->n; i++)
	{
		const FgBound *bound = &of->first[i];
		int64		used = bound->limit->per == FG_PER_STATEMENT ?
			account->counted[op].total : account->total->rows[op].total;

		*left = Min(*left, Max(bound->max_rows - used, 0));
		if (used > bound->max_rows && excess->bound == NULL)
		{
			excess->bound = bound;
			excess->rows = used;
		}
	}

	/*
	 * All windows get the rows, even where a limit is exceeded already, so
	 * that what was charged is always the same for all of them; whoever
	 * refuses or permits takes it from there.
	 */
	for (int i = 0; i < of->n_windows; i++)
	{
		const FgBound *bound = &of->windows[i];
		int64		used = 0;
		FgReserve	result;

		result = n == 0 ? FG_RESERVE_DONE :
			fg_budget_reserve(&bound->key, n, bound->max_rows,
							  force || excess->bound != NULL, &used);
		if (n == 0)
			used = fg_budget_used(&bound->key);
		if (result == FG_RESERVE_FULL)
		{
			int64		ignored;

			if (fg_budget_reserve(&bound->key, n, bound->max_rows, true,
								  &ignored) == FG_RESERVE_NO_ROOM)
				excess->no_room = true;
		}
		else if (result == FG_RESERVE_NO_ROOM)
			excess->no_room = true;
		*left = Min(*left, Max(bound->max_rows - used, 0));
		if (excess->bound == NULL && n > 0 && result != FG_RESERVE_DONE)
		{
			excess->bound = bound;
			excess->rows = used;
		}
	}
}

int64
fg_account_uncharge(FgAccount *account, FgOperation op)
{
	const FgBounds *of = &account->of[op];
	int64		n = account->counted[op].total;

	fg_counter_add(&account->counted[op], -n);
	fg_counter_add(&account->total->rows[op], -n);
	for (int i = 0; i < of->n_windows; i++)
		fg_budget_give_back(&of->windows[i].key, n);
	return n;
}

const FgBound *
fg_account_full_window(const FgAccount *account, FgOperation op)
{
	const FgBounds *of = &account->of[op];
	const FgBound *full = NULL;

	for (int i = 0; i < of->n_windows; i++)
	{
		if (fg_budget_used(&of->windows[i].key) > of->windows[i].max_rows)
			full = &of->windows[i];
	}
	return full;
}

void
fg_account_stick(uint64 scope)
{
	dlist_iter	iter;

	dlist_foreach(iter, &accounts)
	{
		FgAccount  *account = dlist_container(FgAccount, link, iter.cur);

		if (account->scope != scope)
			continue;
		for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		{
			const FgBounds *of = &account->of[op];
			int64		n = account->counted[op].total;

			if (n == 0)
				continue;
			fg_counter_stick(&account->total->rows[op], n);
			for (int i = 0; i < of->n_windows; i++)
				fg_budget_stick(&of->windows[i].key, n);
		}
	}
}
