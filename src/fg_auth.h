/*-------------------------------------------------------------------------
 *
 * fg_auth.h
 *		Who may do more than the limits: exemptions and redeemed tokens.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_AUTH_H
#define FG_AUTH_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "fg_catalog_auth.h"
#include "fg_catalog_request.h"
#include "fg_types.h"

typedef enum FgPermissionKind
{
	FG_PERMIT_NONE,
	FG_PERMIT_SUPERUSER,		/* fortress.guard_superusers is off */
	FG_PERMIT_EXEMPTION,
	FG_PERMIT_TOKEN,
	FG_PERMIT_INTERNAL			/* the guard's own restore */
} FgPermissionKind;

/*
 * A permission that covers a request.  It says who let it pass, for the event,
 * and stays valid until the end of the transaction or the next
 * fg_auth_find(), whichever is first.
 */
typedef struct FgPermission
{
	FgPermissionKind kind;
	int64		id;				/* of the exemption or token */
	int64		rows_left;		/* PG_INT64_MAX: unbounded */
	FgPermissionKind too_small; /* while kind is NONE: what id names, if > 0 */
	bool		stale_token;	/* fortress.token was set in an earlier
								 * transaction and does not count any more */
	bool		needs_approval; /* nothing but an approved request permits it */
} FgPermission;

extern void fg_auth_setup(void);	/* transaction callbacks, once at load */

/*
 * Looks for a permission for role "role" (the role the statement runs as, see
 * DESIGN 5) to do "op" on the relation of a policy; relid InvalidOid: on the
 * guard itself.  Redeems fortress.token if it is set and was not yet, and
 * raises ZG009 if that token is not valid.  "rows" is what the statement has
 * counted so far: a permission with fewer rows left is not taken, but then
 * "found->kind" is FG_PERMIT_NONE and found->id names it for the hint.
 * Returns whether there is one; in a database without the extension there is
 * none but a superuser's.
 */
extern bool fg_auth_find(FgOperation op, Oid relid, Oid role, int64 rows, FgPermission *found);
/*
 * Charges rows to a permission found before.  False: it has not that many left
 * (nothing is charged then), or it has been revoked.
 */
extern bool fg_auth_charge(const FgPermission *permission, int64 rows);

/* fortress.unlock(): redeems a secret; raises ZG009 if it is not valid. */
extern void fg_auth_unlock(const char *secret, bool session_scope);
/*
 * Adds a token that has no secret and opens it for this transaction, whose
 * rollback undoes both.  Gives its id.  "row" says everything but id and hash.
 */
extern int64 fg_auth_open_own(FgTokenRow *row);
/*
 * fortress.unlock_request(): opens what an approved request of the session user
 * asks for; raises ZG009 if it is not approved.
 */
extern void fg_auth_unlock_request(int64 id);
/* fortress.lock(): ends what was unlocked in this session. */
extern void fg_auth_lock(void);
/* DISCARD ALL, RESET ALL: ends session scope and the connection's token. */
extern void fg_auth_discard(void);

/*
 * Is an approved request the only permission there?  relid InvalidOid: for
 * changing the guard itself.
 */
extern bool fg_auth_needs_approval(FgOperation op, Oid relid);
/*
 * The roles whose approval a request needs, that of somebody who is a member of
 * all of them; InvalidOid among them stands for one that is gone.
 */
extern List *fg_auth_approvers(const FgUnlockRequest *request);
/* "pending", "approved", "rejected", "used" or "expired". */
extern const char *fg_auth_request_state(const FgUnlockRequest *request);

/*
 * A statement with this text is the guard's own: it passes and is not charged,
 * while nothing that it calls does.  Ends with fg_auth_internal_end() or with
 * the (sub)transaction.  "text" must live that long.
 */
extern void fg_auth_internal_begin(const char *text);
extern void fg_auth_internal_end(void);
extern bool fg_auth_internal_statement(const char *text);

/*
 * Lets time pass, so that guessing takes some; for who presented a secret that is
 * wrong, after the event of it is written.
 */
extern void fg_auth_delay(void);

/* "exemption 3", "token 7", for log lines; palloc'd.  With kind NONE: what id names. */
extern char *fg_auth_describe(const FgPermission *permission);
/* ", for delete, update, until TIME": what a permission is good for. */
extern void fg_auth_append_bounds(StringInfo buf, int operations, TimestampTz valid_until);

/* Is the role fortress_admin, a member of it, or a superuser? */
extern bool fg_auth_is_admin(Oid role);
/* Raises 42501 unless the current user is. */
extern void fg_auth_require_admin(void);

#endif							/* FG_AUTH_H */
