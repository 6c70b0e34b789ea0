/*-------------------------------------------------------------------------
 *
 * fg_ddl_follow.h
 *		What the guard must do after a command, to stay in step.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_FOLLOW_H
#define FG_DDL_FOLLOW_H

#include "postgres.h"
#include "fg_ddl_command.h"

/* What is to be followed, as it was before the command. */
typedef struct FgDdlFollow
{
	Node	   *stmt;			/* a copy; NULL: only what was made or moved */
	Oid			detached;		/* the relation taken out of a tree; or InvalidOid */
	Oid			schema;			/* the schema being renamed; or InvalidOid */
} FgDdlFollow;

extern void fg_ddl_follow_begin(FgDdlFollow *follow, Node *stmt);
/* The command has ended without an error. */
extern void fg_ddl_follow_end(const FgDdlFollow *follow, const FgDdlCommand *command);

#endif							/* FG_DDL_FOLLOW_H */
