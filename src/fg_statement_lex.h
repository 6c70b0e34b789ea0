/*-------------------------------------------------------------------------
 *
 * fg_statement_lex.h
 *		The lexemes of a text of SQL, and what the text mentions.
 *
 * Of fg_statement.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_STATEMENT_LEX_H
#define FG_STATEMENT_LEX_H

#include "postgres.h"

/* what a text says, as bits */
#define FG_LEX_SAYS_SECRET		1	/* mentions a way to give a secret */
#define FG_LEX_SAYS_EXECUTE		2	/* may run a prepared statement */

typedef enum FgLexemeKind
{
	FG_LEX_SPACE,
	FG_LEX_COMMENT,
	FG_LEX_LITERAL,
	FG_LEX_DOLLAR,				/* a literal in dollar quotes */
	FG_LEX_WORD,				/* a key word or identifier without quotes */
	FG_LEX_NAME,				/* an identifier in quotes */
	FG_LEX_NUMBER,
	FG_LEX_OTHER				/* one character */
} FgLexemeKind;

/* A piece of the text; inner is what stands between quotes. */
typedef struct FgLexeme
{
	FgLexemeKind kind;
	const char *start;
	const char *end;
	const char *inner;
	const char *inner_end;
	bool		prefixed;		/* literal or name with E or U& before it */
	bool		unfinished;		/* the text ends in it */
	bool		unclear;		/* where it ends depends on settings */
} FgLexeme;

/* What must be known of a statement, or of a piece of code, to blank it. */
typedef struct FgSurvey
{
	const char *end;			/* behind its semicolon */
	bool		followed;		/* all lexemes are finished and clear */
	bool		foreign;		/* names a language with quoting of its own */
	bool		runs_secret;	/* runs a prepared statement that takes a secret */
} FgSurvey;

static inline bool
fg_lex_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
fg_lex_is_name_start(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || IS_HIGHBIT_SET(c);
}

/* Without "$", which may be that of a dollar quote. */
static inline bool
fg_lex_is_word_char(unsigned char c)
{
	return fg_lex_is_name_start(c) || fg_lex_is_digit(c);
}

/* Do the bytes from "from" to "to" equal the word, in any case? */
extern bool fg_lex_span_is(const char *from, const char *to, const char *word);
/* The end of what has the form of a token and begins at p, or NULL. */
extern const char *fg_lex_token_end(const char *p, const char *to);
/* What the bare text says (FG_LEX_SAYS_...); a quick look. */
extern int	fg_lex_says(const char *from, const char *to);

/* The lexeme that begins at p, which is before "to". */
extern void fg_lex_read(FgLexeme *lexeme, const char *p, const char *to);
/* Is it neither space nor comment? */
extern bool fg_lex_is_code(const FgLexeme *lexeme);
/* Is it this character, this word without quotes, this identifier, quoted or not? */
extern bool fg_lex_is_char(const FgLexeme *lexeme, char c);
extern bool fg_lex_is_word(const FgLexeme *lexeme, const char *word);
extern bool fg_lex_is_name(const FgLexeme *lexeme, const char *name);
/* Looks through the first statement of the text, or through all of it. */
extern void fg_lex_survey(FgSurvey *survey, const char *from, const char *to, bool one_statement);

#endif							/* FG_STATEMENT_LEX_H */
