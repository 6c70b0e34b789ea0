/*-------------------------------------------------------------------------
 *
 * fg_auth_token.h
 *		What fg_auth.c, fg_auth_token.c and fg_auth_request.c need of each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_AUTH_TOKEN_H
#define FG_AUTH_TOKEN_H

#include "postgres.h"
#include "fg_auth.h"

/* Registers the transaction callbacks; once at load. */
extern void fg_auth_token_setup(void);
/* fg_auth_find(), as far as tokens are concerned. */
extern void fg_auth_token_find(FgOperation op, Oid relid, Oid role, int64 rows,
							   FgPermission *found);
/* fg_auth_charge(), for a token. */
extern bool fg_auth_token_charge(int64 token, int64 rows);
/*
 * Opens a token for this transaction once more without spending a use; false:
 * this transaction has not redeemed it.
 */
extern bool fg_auth_token_reopen(const FgTokenRow *row);
/* Has this request been approved, and not been rejected afterwards? */
extern bool fg_auth_request_stands(int64 id);
/*
 * Offers a permission: it is taken if it has rows enough and more than what
 * was found so far, or remembered for the hint.
 */
extern void fg_auth_offer(FgPermission *found, FgPermissionKind kind, int64 id,
						  int64 left, int64 rows);

#endif							/* FG_AUTH_TOKEN_H */
