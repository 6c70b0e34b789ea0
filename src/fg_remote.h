/*-------------------------------------------------------------------------
 *
 * fg_remote.h
 *		What a publisher has done and this process applies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_REMOTE_H
#define FG_REMOTE_H

#include "postgres.h"
#include "access/htup.h"
#include "utils/rel.h"

/* Does this process apply the changes of a publisher? */
extern bool fg_remote_applying(void);
/*
 * The role that counts for what is done to a relation now, where that is not
 * known from a statement: in later versions of the server, changes are applied
 * as the relation's owner, but it is the subscription's who is answerable.
 */
extern Oid	fg_remote_role(Relation rel);

/*
 * A statement changes protected rows with this command number: they are its
 * rows, though the process applies changes.  Does nothing elsewhere.
 */
extern void fg_remote_note_statement(CommandId command);
/*
 * Has this process deleted or updated that row to apply a change?  "old" is the
 * old version as a row trigger gets it.
 */
extern bool fg_remote_applied(HeapTuple old);
/* Is the change that is being applied an UPDATE? */
extern bool fg_remote_updates(void);

/*
 * The change that is being applied and the transaction of the publisher that
 * it belongs to, in the words of the server; palloc'd.  NULL: none.
 */
extern char *fg_remote_transaction(void);
/*
 * Such a change is tried again and again while it is refused.  Has its refusal
 * been recorded?  And: it has now.
 */
extern bool fg_remote_recorded(const char *transaction);
extern void fg_remote_record(const char *transaction);

#endif							/* FG_REMOTE_H */
