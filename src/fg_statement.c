/*-------------------------------------------------------------------------
 *
 * fg_statement.c
 *		The text of the running statement, without its secrets.
 *
 * What a client sends may carry a token or a code: as an argument of
 * fortress.unlock() and unlock_totp(), or as a value of fortress.token.  The
 * audit log keeps the text of statements for good, so it must not keep those.
 *
 * What is blanked:
 *
 * - Whatever has the form of a token, wherever it stands.
 * - In a statement that mentions one of the ways to give a secret: all string
 *   literals, numbers of a code's length, comments, whatever is assigned to
 *   fortress.token, and quoted identifiers that don't look like names (a secret
 *   in the wrong quotes).  A secret may be mistyped, so its form says nothing.
 * - The same in every statement of a message by which a secret arrived that
 *   the text does not show: a function that calls unlock().
 *
 * How a mention and literals are found is in fg_statement_lex.c.  Where in doubt,
 * more is blanked, since a literal too few in the log can be borne; where the
 * end of a literal is not clear, all that follows.
 *
 * What no look at a text can find is a name that the text puts together from
 * parts of words.  There only the form of a token counts, until unlock() is
 * called and says so.
 *
 * Code in dollar quotes (DO, CREATE FUNCTION) is kept with its literals
 * blanked, because it is what an auditor wants to see, but only if its language
 * has SQL's quoting.  All other dollar quotes are literals.
 *
 * Blanking comes before cutting, so that a cut cannot save half a secret.  Time
 * is linear in the length of the text; memory is that of the result.
 *
 * The state is local to the backend; there are no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "fg_crypto.h"
#include "fg_guc.h"
#include "fg_statement.h"
#include "fg_statement_lex.h"

#define BLANK_LITERAL		"'***'"
#define BLANK_NAME			"\"***\""
#define BLANK_NUMBER		"***"
#define BLANK_TOKEN			FG_TOKEN_PREFIX "***"

/* from how many digits on a number is taken for a code */
#define CODE_DIGITS			6
/* how deep code in dollar quotes is followed */
#define MAX_DEPTH			5

/* How far the words before a lexeme spell the name of the setting. */
typedef enum FgSpelled
{
	FG_SPELLED_NOTHING,
	FG_SPELLED_PREFIX,			/* fortress */
	FG_SPELLED_DOT,				/* fortress. */
	FG_SPELLED_ALL
} FgSpelled;

/* What stands before a lexeme in its statement. */
typedef struct FgTrail
{
	FgLexeme	first;			/* first lexeme of code; NULL start: none yet */
	FgLexeme	previous;		/* last lexeme of code */
	FgSpelled	spelled;
	bool		after_set;		/* the name of the setting follows SET */
} FgTrail;

typedef struct FgRedaction
{
	StringInfoData out;
	int			limit;			/* bytes that are enough */
} FgRedaction;

/* the message by which a secret arrived */
static const char *secret_message = NULL;
static TimestampTz secret_message_at = 0;

/* ----------------------------------------------------------------
 *		Writing
 * ----------------------------------------------------------------
 */

static bool
is_enough(const FgRedaction *redaction)
{
	return redaction->out.len >= redaction->limit;
}

static void
put(FgRedaction *redaction, const char *from, size_t length)
{
	size_t		room = is_enough(redaction) ? 0 : redaction->limit - redaction->out.len;

	appendBinaryStringInfo(&redaction->out, from, (int) Min(length, room));
}

static void
put_string(FgRedaction *redaction, const char *string)
{
	put(redaction, string, strlen(string));
}

/* Writes the text as it is, but for tokens. */
static void
put_text(FgRedaction *redaction, const char *from, const char *to)
{
	while (from < to && !is_enough(redaction))
	{
		const char *stop = to;
		const char *behind = NULL;
		const char *p;

		/* what begins behind the end of the room need not be looked at */
		if (to - from > redaction->limit - redaction->out.len)
			stop = from + (redaction->limit - redaction->out.len);
		for (p = from; p < stop; p++)
		{
			behind = fg_lex_token_end(p, to);
			if (behind != NULL)
				break;
		}
		put(redaction, from, p - from);
		if (behind == NULL)
			return;
		put_string(redaction, BLANK_TOKEN);
		from = behind;
	}
}

static void
put_comment(FgRedaction *redaction, const FgLexeme *comment)
{
	put_string(redaction, comment->start[0] == '-' ? "--" : "/**/");
}

static void
put_number(FgRedaction *redaction, const FgLexeme *number)
{
	int			digits = 0;

	/* letters count too: 0x1f and the like */
	for (const char *p = number->start; p < number->end; p++)
	{
		if (*p != '.' && *p != '_')
			digits++;
	}
	if (digits >= CODE_DIGITS)
		put_string(redaction, BLANK_NUMBER);
	else
		put(redaction, number->start, number->end - number->start);
}

/* A quoted identifier is kept if it looks like a name. */
static void
put_name(FgRedaction *redaction, const FgLexeme *name)
{
	int			digits = 0;
	bool		plain = !name->unfinished && name->inner_end - name->inner < NAMEDATALEN;

	for (const char *p = name->inner; p < name->inner_end && plain; p++)
	{
		digits = fg_lex_is_digit(*p) ? digits + 1 : 0;
		plain = digits < CODE_DIGITS && (fg_lex_is_word_char(*p) || *p == '.');
	}
	if (plain)
		put_text(redaction, name->start, name->end);
	else
		put_string(redaction, BLANK_NAME);
}

/* ----------------------------------------------------------------
 *		Blanking
 * ----------------------------------------------------------------
 */

/* Takes note of a lexeme of code that has been written. */
static void
trail_add(FgTrail *trail, const FgLexeme *lexeme)
{
	bool		follows_set = fg_lex_is_word(&trail->previous, "set") ||
		fg_lex_is_word(&trail->previous, "session") || fg_lex_is_word(&trail->previous, "local");

	if (fg_lex_is_char(lexeme, ';'))
	{
		memset(trail, 0, sizeof(*trail));
		trail->previous = *lexeme;
		return;
	}
	if (lexeme->kind == FG_LEX_NAME && lexeme->prefixed)
	{
		/* it may spell the name, or one half of it */
		if (trail->spelled == FG_SPELLED_NOTHING)
			trail->after_set = follows_set;
		trail->spelled = FG_SPELLED_ALL;
	}
	else if (fg_lex_is_name(lexeme, "fortress.token"))
	{
		trail->after_set = follows_set;
		trail->spelled = FG_SPELLED_ALL;
	}
	else if (fg_lex_is_name(lexeme, "token") && trail->spelled == FG_SPELLED_DOT)
		trail->spelled = FG_SPELLED_ALL;
	else if (fg_lex_is_name(lexeme, "fortress"))
	{
		trail->after_set = follows_set;
		trail->spelled = FG_SPELLED_PREFIX;
	}
	else if (fg_lex_is_char(lexeme, '.') && trail->spelled == FG_SPELLED_PREFIX)
		trail->spelled = FG_SPELLED_DOT;
	else
		trail->spelled = FG_SPELLED_NOTHING;
	if (trail->first.start == NULL)
		trail->first = *lexeme;
	trail->previous = *lexeme;
}

/* Is what stands in dollar quotes here code, and not a value? */
static bool
takes_code(const FgTrail *trail)
{
	if (fg_lex_is_word(&trail->previous, "do") || fg_lex_is_word(&trail->previous, "execute"))
		return true;
	if (trail->first.start == NULL)
		return false;
	return fg_lex_is_word(&trail->first, "do") ||
		(fg_lex_is_word(&trail->first, "create") && fg_lex_is_word(&trail->previous, "as"));
}

/* The next semicolon, or "to"; whatever stands before it is a value. */
static const char *
value_end(const char *from, const char *to)
{
	while (from < to)
	{
		FgLexeme	lexeme;

		fg_lex_read(&lexeme, from, to);
		if (lexeme.unclear)
			return to;
		if (fg_lex_is_char(&lexeme, ';'))
			return from;
		from = lexeme.end;
	}
	return to;
}

/*
 * Writes code without what may be a secret in it.
 */
static void
put_blanked(FgRedaction *redaction, const char *from, const char *to, bool foreign, int depth)
{
	FgTrail		trail = {0};

	while (from < to && !is_enough(redaction))
	{
		FgLexeme	lexeme;
		FgSurvey	inside = {0};

		fg_lex_read(&lexeme, from, to);
		from = lexeme.end;
		if (lexeme.unclear)
		{
			put_string(redaction, BLANK_LITERAL);
			return;
		}

		if (trail.spelled == FG_SPELLED_ALL && fg_lex_is_code(&lexeme) &&
			!fg_lex_is_char(&lexeme, ';'))
		{
			bool		assigns = fg_lex_is_char(&lexeme, '=') || fg_lex_is_word(&lexeme, "to");

			if (assigns || trail.after_set)
			{
				if (assigns)
				{
					put(redaction, lexeme.start, lexeme.end - lexeme.start);
					put_string(redaction, " ");
				}
				put_string(redaction, BLANK_LITERAL);
				trail.spelled = FG_SPELLED_NOTHING;
				from = value_end(assigns ? lexeme.end : lexeme.start, to);
				continue;
			}
		}

		switch (lexeme.kind)
		{
			case FG_LEX_COMMENT:
				put_comment(redaction, &lexeme);
				break;
			case FG_LEX_LITERAL:
				if (!lexeme.prefixed &&
					fg_lex_span_is(lexeme.inner, lexeme.inner_end, "fortress.token"))
					put(redaction, lexeme.start, lexeme.end - lexeme.start);
				else
					put_string(redaction, BLANK_LITERAL);
				break;
			case FG_LEX_DOLLAR:
				if (!foreign && depth < MAX_DEPTH && takes_code(&trail))
					fg_lex_survey(&inside, lexeme.inner, lexeme.inner_end, false);
				if (inside.followed && !lexeme.unfinished)
				{
					put_text(redaction, lexeme.start, lexeme.inner);
					put_blanked(redaction, lexeme.inner, lexeme.inner_end,
								inside.foreign, depth + 1);
					put_text(redaction, lexeme.inner_end, lexeme.end);
				}
				else
					put_string(redaction, BLANK_LITERAL);
				break;
			case FG_LEX_NAME:
				put_name(redaction, &lexeme);
				break;
			case FG_LEX_NUMBER:
				put_number(redaction, &lexeme);
				break;
			case FG_LEX_SPACE:
			case FG_LEX_WORD:
			case FG_LEX_OTHER:
				put_text(redaction, lexeme.start, lexeme.end);
				break;
		}
		if (fg_lex_is_code(&lexeme))
			trail_add(&trail, &lexeme);
	}
}

/*
 * Writes a statement that has no secret.  Comments that stand before it belong
 * to the one before it, if that has one.
 */
static void
put_plain(FgRedaction *redaction, const char *from, const char *to, bool after_secret)
{
	while (after_secret && from < to && !is_enough(redaction))
	{
		FgLexeme	lexeme;

		fg_lex_read(&lexeme, from, to);
		if (fg_lex_is_code(&lexeme))
			break;
		if (lexeme.kind == FG_LEX_COMMENT)
			put_comment(redaction, &lexeme);
		else
			put(redaction, lexeme.start, lexeme.end - lexeme.start);
		from = lexeme.end;
	}
	put_text(redaction, from, to);
}

/*
 * The text without its secrets, or without all its literals.  What goes beyond
 * the limit may be missing.
 */
static char *
redact(const char *text, bool all_literals, int limit)
{
	const char *end = text + strlen(text);
	FgRedaction redaction;
	bool		after_secret = false;

	initStringInfo(&redaction.out);
	redaction.limit = limit;
	if (!all_literals && fg_lex_says(text, end) == 0)
	{
		put_text(&redaction, text, end);
		return redaction.out.data;
	}
	while (text < end && !is_enough(&redaction))
	{
		FgSurvey	survey;

		fg_lex_survey(&survey, text, end, true);
		if (all_literals || survey.runs_secret ||
			(fg_lex_says(text, survey.end) & FG_LEX_SAYS_SECRET) != 0)
		{
			put_blanked(&redaction, text, survey.end, survey.foreign || !survey.followed, 0);
			after_secret = true;
		}
		else
		{
			put_plain(&redaction, text, survey.end, after_secret);
			after_secret = false;
		}
		text = survey.end;
	}
	return redaction.out.data;
}

/* ----------------------------------------------------------------
 *		What others call
 * ----------------------------------------------------------------
 */

char *
fg_statement_redact(const char *text, bool all_literals)
{
	return redact(text, all_literals, MaxAllocSize / 2);
}

/*
 * Bytes that are no character become question marks.
 */
char *
fg_statement_clip(const char *text, int max_bytes)
{
	int			encoding = GetDatabaseEncoding();
	size_t		length = strnlen(text, (size_t) max_bytes + MAX_MULTIBYTE_CHAR_LEN);
	const char *end = text + length;
	char	   *clipped = palloc(Min(length, (size_t) max_bytes) + 1);
	char	   *to = clipped;

	while (text < end)
	{
		int			bytes = 1;

		if (IS_HIGHBIT_SET(*text))
			bytes = pg_encoding_verifymbchar(encoding, text, (int) (end - text));
		if (to - clipped + Max(bytes, 1) > max_bytes)
			break;
		if (bytes > 0)
		{
			memcpy(to, text, bytes);
			to += bytes;
			text += bytes;
		}
		else
		{
			*to++ = '?';
			text++;
		}
	}
	*to = '\0';
	return clipped;
}

/*
 * The text and its time together tell one message from the next, whose text
 * may lie in the same place.
 */
void
fg_statement_has_secret(void)
{
	secret_message = debug_query_string;
	secret_message_at = GetCurrentStatementStartTimestamp();
}

static bool
secret_arrived(void)
{
	return secret_message == debug_query_string &&
		secret_message_at == GetCurrentStatementStartTimestamp();
}

/*
 * For errors that would bring the statement into the server log.
 */
bool
fg_statement_shows_secret(void)
{
	const char *text = debug_query_string;
	const char *end;
	int			says;

	if (text == NULL)
		return false;
	if (secret_arrived())
		return true;
	end = text + strlen(text);
	says = fg_lex_says(text, end);
	if ((says & FG_LEX_SAYS_SECRET) != 0)
		return true;
	for (const char *p = text; p < end; p++)
	{
		if (fg_lex_token_end(p, end) != NULL)
			return true;
	}
	while ((says & FG_LEX_SAYS_EXECUTE) != 0 && text < end)
	{
		FgSurvey	survey;

		fg_lex_survey(&survey, text, end, true);
		if (survey.runs_secret)
			return true;
		text = survey.end;
	}
	return false;
}

char *
fg_statement_text(void)
{
	char	   *redacted;
	char	   *clipped;

	if (debug_query_string == NULL || fg_audit_query_length <= 0)
		return NULL;
	redacted = redact(debug_query_string, secret_arrived(),
					  fg_audit_query_length + MAX_MULTIBYTE_CHAR_LEN);
	clipped = fg_statement_clip(redacted, fg_audit_query_length);
	pfree(redacted);
	return clipped;
}
