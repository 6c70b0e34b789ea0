/*-------------------------------------------------------------------------
 *
 * fg_decide_note.h
 *		What was let through over a limit, or without a condition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DECIDE_NOTE_H
#define FG_DECIDE_NOTE_H

#include "postgres.h"
#include "fg_auth.h"
#include "fg_policy.h"

/*
 * Notes that a policy, or for changes of the guard itself InvalidOid, let
 * something through: by a permission, or NULL in audit mode.  max_rows: of the
 * limit that was exceeded; -1: none.
 */
extern void fg_note_passed(Oid policy, FgOperation op, Oid role,
						   const FgPermission *permission, int64 rows, int64 max_rows);
/* Hands the notes on to be recorded with the commit that is about to come. */
extern void fg_note_write_all(void);
/* At the end of the transaction, whose memory they live in. */
extern void fg_note_forget_all(void);

#endif							/* FG_DECIDE_NOTE_H */
