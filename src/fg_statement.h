/*-------------------------------------------------------------------------
 *
 * fg_statement.h
 *		The text of the running statement, without its secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_STATEMENT_H
#define FG_STATEMENT_H

#include "postgres.h"

/*
 * The text of what the client sent, fit for the audit log: secrets blanked,
 * valid in the database's encoding, cut at fortress.audit_query_length.
 * palloc'd; NULL if there is none.
 */
extern char *fg_statement_text(void);
/* The running statement was given a secret: all its literals are blanked. */
extern void fg_statement_has_secret(void);
/* Does the text of the running statement hold what fg_statement_text() blanks? */
extern bool fg_statement_shows_secret(void);
/* Any text of SQL without its secrets, or without all its literals; palloc'd. */
extern char *fg_statement_redact(const char *text, bool all_literals);
/* Valid in the database's encoding, cut on the boundary of a character; palloc'd. */
extern char *fg_statement_clip(const char *text, int max_bytes);

#endif							/* FG_STATEMENT_H */
