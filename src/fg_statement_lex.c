/*-------------------------------------------------------------------------
 *
 * fg_statement_lex.c
 *		The lexemes of a text of SQL, and what the text mentions.
 *
 * Statements are told apart, and literals found, by one lexical scan that
 * follows the server's scan.l.  It never fails: what is not finished ends with
 * the text.  Where a backslash stands before a quote, the end of a literal
 * depends on standard_conforming_strings as it was when the server read the
 * text, which nobody knows any more.  Such a lexeme is unclear; it ends the
 * last statement that can be told apart, which then is all the rest.
 *
 * A mention is looked for in the bare text, not in its lexemes: names may stand
 * in quotes, in comments, in code that is itself a literal, or be put together
 * from literals.  Escapes that could spell a name count as a mention.
 *
 * The server's own scanner is not used: it raises errors, copies every literal,
 * depends on settings, and says nothing about comments.
 *
 * Time is linear in the length of the text, also for texts made to take long.
 * No state, no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/prepare.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "utils/plancache.h"

#include "fg_crypto.h"
#include "fg_statement_lex.h"

/* from how many digits on the prefix and digits are taken for a token */
#define TOKEN_DIGITS		8
/* the longest space, punctuation and comments between "fortress" and "token" */
#define MAX_GAP				1000

/* ----------------------------------------------------------------
 *		Characters
 * ----------------------------------------------------------------
 */

static inline bool
is_space(unsigned char c)
{
	return c <= ' ';
}

static inline bool
is_hex_digit(unsigned char c)
{
	return fg_lex_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool
fg_lex_span_is(const char *from, const char *to, const char *word)
{
	size_t		length = strlen(word);

	return to - from == length && pg_strncasecmp(from, word, length) == 0;
}

/*
 * The end of what has the form of a token and begins at p, or NULL.  Whatever
 * letters and digits follow belong to it: it may be mistyped.
 */
const char *
fg_lex_token_end(const char *p, const char *to)
{
	size_t		prefix = strlen(FG_TOKEN_PREFIX);
	const char *digits;

	if ((*p != 'f' && *p != 'F') || to - p < prefix + TOKEN_DIGITS ||
		pg_strncasecmp(p, FG_TOKEN_PREFIX, prefix) != 0)
		return NULL;
	digits = p + prefix;
	for (p = digits; p < digits + TOKEN_DIGITS; p++)
	{
		if (!is_hex_digit(*p))
			return NULL;
	}
	while (p < to && fg_lex_is_word_char(*p))
		p++;
	return p;
}

/* ----------------------------------------------------------------
 *		Mentions, in the bare text
 * ----------------------------------------------------------------
 */

/*
 * Where the word ends that stands at p, or NULL.  A letter before it may be
 * that of an escape such as \n.
 */
static const char *
word_end(const char *from, const char *p, const char *to, const char *word)
{
	size_t		length = strlen(word);

	if (to - p < length || pg_strncasecmp(p, word, length) != 0)
		return NULL;
	if (to - p > length && fg_lex_is_word_char(p[length]))
		return NULL;
	if (p > from && fg_lex_is_word_char(p[-1]) && !(p - from > 1 && p[-2] == '\\'))
		return NULL;
	return p + length;
}

/* The end of the comment that begins at p, or p if none does. */
static const char *
skip_comment(const char *p, const char *to, bool *unfinished)
{
	int			depth = 0;

	*unfinished = false;
	if (to - p < 2)
		return p;
	if (p[0] == '-' && p[1] == '-')
	{
		while (p < to && *p != '\n' && *p != '\r')
			p++;
		return p;
	}
	if (p[0] != '/' || p[1] != '*')
		return p;
	while (to - p >= 2)
	{
		if (p[0] == '/' && p[1] == '*')
		{
			depth++;
			p += 2;
		}
		else if (p[0] == '*' && p[1] == '/')
		{
			p += 2;
			if (--depth == 0)
				return p;
		}
		else
			p++;
	}
	*unfinished = true;
	return to;
}

/*
 * Is the next word behind "fortress" the word "token"?  Quotes, dots, commas,
 * operators and comments may stand between.  Too much between counts as yes.
 */
static bool
token_follows(const char *p, const char *to)
{
	const char *last = to - p > MAX_GAP ? p + MAX_GAP : to;

	while (p < last)
	{
		bool		unfinished;
		const char *behind = skip_comment(p, last, &unfinished);

		if (behind > p)
			p = behind;
		else if ((*p == 'e' || *p == 'E' || *p == 'n' || *p == 'N') && last - p > 1 && p[1] == '\'')
			p += 2;
		else if (fg_lex_is_word_char(*p))
			return word_end(p, p, to, "token") != NULL;
		else
			p++;
	}
	return last < to;
}

/*
 * Could the escape with this character behind the backslash be a part of a
 * name?  Those for quotes and control characters cannot.
 */
static inline bool
escape_spells(char c)
{
	return strchr("\\'\"bfnrt", c) == NULL;
}

/* Could an escape of the literal whose content begins at p be a part of a name? */
static bool
literal_spells(const char *p, const char *to)
{
	for (; p < to && *p != '\''; p++)
	{
		if (*p != '\\')
			continue;
		if (++p == to)
			break;
		if (escape_spells(*p))
			return true;
	}
	return false;
}

/*
 * Most texts get this look and nothing else.
 */
int
fg_lex_says(const char *from, const char *to)
{
	int			says = 0;
	const char *behind;

	for (const char *p = from; p < to; p++)
	{
		char		next = to - p > 1 ? p[1] : '\0';

		switch (*p)
		{
			case 'u':
			case 'U':
				if (next == '&' && to - p > 2 && (p[2] == '"' || p[2] == '\''))
					return says | FG_LEX_SAYS_SECRET;
				if ((next == 'n' || next == 'N') &&
					(word_end(from, p, to, "unlock") != NULL ||
					 word_end(from, p, to, "unlock_totp") != NULL))
					return says | FG_LEX_SAYS_SECRET;
				break;
			case 'f':
			case 'F':
				if (next != 'o' && next != 'O')
					break;
				behind = word_end(from, p, to, "fortress");
				if (behind != NULL && token_follows(behind, to))
					return says | FG_LEX_SAYS_SECRET;
				break;
			case 'e':
			case 'E':
				if (next == '\'')
				{
					if ((p == from || !fg_lex_is_word_char(p[-1])) && literal_spells(p + 2, to))
						return says | FG_LEX_SAYS_SECRET;
				}
				else if ((next == 'x' || next == 'X') && word_end(from, p, to, "execute") != NULL)
					says |= FG_LEX_SAYS_EXECUTE;
				break;
			case '\\':
				if (standard_conforming_strings || next == '\0')
					break;
				if (escape_spells(next))
					return says | FG_LEX_SAYS_SECRET;
				if (next == '\\')
					p++;
				break;
			default:
				break;
		}
	}
	return says;
}

/* ----------------------------------------------------------------
 *		Lexemes
 * ----------------------------------------------------------------
 */

/* The rest of a literal or name in these quotes, whose content begins at p. */
static void
read_quoted(FgLexeme *lexeme, const char *p, const char *to, char quote, bool escapes)
{
	lexeme->inner = p;
	for (;;)
	{
		const char *found;

		if (escapes)
		{
			for (found = p; found < to && *found != quote; found++)
			{
				if (*found == '\\' && to - found > 1)
					found++;
			}
		}
		else
			found = memchr(p, quote, to - p);
		if (found == NULL || found >= to)
		{
			lexeme->unfinished = true;
			lexeme->inner_end = lexeme->end = to;
			return;
		}
		if (quote == '\'' && !escapes)
		{
			const char *before = found;

			while (before > p && before[-1] == '\\')
				before--;
			if ((found - before) % 2 != 0)
				lexeme->unclear = true;
		}
		if (to - found > 1 && found[1] == quote)
		{
			p = found + 2;
			continue;
		}
		lexeme->inner_end = found;
		lexeme->end = found + 1;
		return;
	}
}

/* The dollar quote that begins at p, if one does. */
static bool
read_dollar(FgLexeme *lexeme, const char *p, const char *to)
{
	const char *tag_end = p + 1;
	size_t		length;

	if (tag_end < to && fg_lex_is_name_start(*tag_end))
	{
		while (tag_end < to && fg_lex_is_word_char(*tag_end))
			tag_end++;
	}
	if (tag_end >= to || *tag_end != '$')
		return false;
	length = tag_end + 1 - p;

	lexeme->kind = FG_LEX_DOLLAR;
	lexeme->inner = p + length;
	lexeme->inner_end = lexeme->end = to;
	for (const char *q = lexeme->inner; q < to; q++)
	{
		q = memchr(q, '$', to - q);
		if (q == NULL || to - q < length)
			break;
		if (memcmp(q, p, length) == 0)
		{
			lexeme->inner_end = q;
			lexeme->end = q + length;
			return true;
		}
	}
	lexeme->unfinished = true;
	return true;
}

void
fg_lex_read(FgLexeme *lexeme, const char *p, const char *to)
{
	const char *behind;

	memset(lexeme, 0, sizeof(*lexeme));
	lexeme->start = p;

	if (is_space(*p))
	{
		lexeme->kind = FG_LEX_SPACE;
		while (p < to && is_space(*p))
			p++;
		lexeme->end = p;
		return;
	}
	behind = skip_comment(p, to, &lexeme->unfinished);
	if (behind > p)
	{
		lexeme->kind = FG_LEX_COMMENT;
		lexeme->end = behind;
		return;
	}
	if (*p == '\'' || *p == '"')
	{
		lexeme->kind = *p == '"' ? FG_LEX_NAME : FG_LEX_LITERAL;
		read_quoted(lexeme, p + 1, to, *p, false);
		return;
	}
	if ((*p == 'e' || *p == 'E') && to - p > 1 && p[1] == '\'')
	{
		lexeme->kind = FG_LEX_LITERAL;
		lexeme->prefixed = true;
		read_quoted(lexeme, p + 2, to, '\'', true);
		return;
	}
	if ((*p == 'u' || *p == 'U') && to - p > 2 && p[1] == '&' && (p[2] == '"' || p[2] == '\''))
	{
		lexeme->kind = p[2] == '"' ? FG_LEX_NAME : FG_LEX_LITERAL;
		lexeme->prefixed = true;
		read_quoted(lexeme, p + 3, to, p[2], false);
		return;
	}
	if (*p == '$' && read_dollar(lexeme, p, to))
		return;

	if (fg_lex_is_name_start(*p))
	{
		lexeme->kind = FG_LEX_WORD;
		while (p < to && (fg_lex_is_word_char(*p) || *p == '$'))
			p++;
	}
	else if (fg_lex_is_digit(*p))
	{
		lexeme->kind = FG_LEX_NUMBER;
		while (p < to && (fg_lex_is_word_char(*p) || *p == '.'))
			p++;
	}
	else
	{
		lexeme->kind = FG_LEX_OTHER;
		p++;
	}
	lexeme->inner = lexeme->start;
	lexeme->inner_end = lexeme->end = p;
}

bool
fg_lex_is_code(const FgLexeme *lexeme)
{
	return lexeme->kind != FG_LEX_SPACE && lexeme->kind != FG_LEX_COMMENT;
}

bool
fg_lex_is_char(const FgLexeme *lexeme, char c)
{
	return lexeme->kind == FG_LEX_OTHER && *lexeme->start == c;
}

bool
fg_lex_is_word(const FgLexeme *lexeme, const char *word)
{
	return lexeme->kind == FG_LEX_WORD && fg_lex_span_is(lexeme->start, lexeme->end, word);
}

bool
fg_lex_is_name(const FgLexeme *lexeme, const char *name)
{
	return (lexeme->kind == FG_LEX_WORD || lexeme->kind == FG_LEX_NAME) &&
		fg_lex_span_is(lexeme->inner, lexeme->inner_end, name);
}

/* ----------------------------------------------------------------
 *		Statements
 * ----------------------------------------------------------------
 */

/*
 * Does the prepared statement of this name mention a way to give a secret?
 * There may be none of that name.
 */
static bool
prepared_says_secret(const FgLexeme *lexeme)
{
	char	   *name;
	PreparedStatement *prepared;
	const char *text;

	if (lexeme->kind == FG_LEX_WORD)
		name = downcase_truncate_identifier(lexeme->inner, lexeme->inner_end - lexeme->inner,
											false);
	else if (lexeme->kind == FG_LEX_NAME && lexeme->inner_end - lexeme->inner < 2 * NAMEDATALEN)
	{
		char	   *to;

		to = name = palloc(lexeme->inner_end - lexeme->inner + 1);
		for (const char *p = lexeme->inner; p < lexeme->inner_end; p++)
		{
			*to++ = *p;
			if (*p == '"')
				p++;
		}
		*to = '\0';
		truncate_identifier(name, to - name, false);
	}
	else
		return false;

	prepared = FetchPreparedStatement(name, false);
	pfree(name);
	if (prepared == NULL)
		return false;
	text = prepared->plansource->query_string;
	return (fg_lex_says(text, text + strlen(text)) & FG_LEX_SAYS_SECRET) != 0;
}

/*
 * Looks through one statement, or through all that stands between "from" and
 * "to" if it is code in quotes.
 */
void
fg_lex_survey(FgSurvey *survey, const char *from, const char *to, bool one_statement)
{
	FgLexeme	previous = {.kind = FG_LEX_OTHER,.start = ""};

	memset(survey, 0, sizeof(*survey));
	survey->end = to;
	survey->followed = true;
	while (from < to)
	{
		FgLexeme	lexeme;

		fg_lex_read(&lexeme, from, to);
		from = lexeme.end;
		if (lexeme.unfinished || lexeme.unclear)
		{
			survey->followed = false;
			return;
		}
		if (!fg_lex_is_code(&lexeme))
			continue;
		if (fg_lex_is_char(&lexeme, ';') && one_statement)
		{
			survey->end = lexeme.end;
			return;
		}
		if (fg_lex_is_word(&previous, "language") &&
			(lexeme.prefixed ||
			 !(fg_lex_span_is(lexeme.inner, lexeme.inner_end, "sql") ||
			   fg_lex_span_is(lexeme.inner, lexeme.inner_end, "plpgsql"))))
			survey->foreign = true;
		if (fg_lex_is_word(&previous, "execute") && !survey->runs_secret)
			survey->runs_secret = prepared_says_secret(&lexeme);
		previous = lexeme;
	}
}
