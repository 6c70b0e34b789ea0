/*-------------------------------------------------------------------------
 *
 * fg_types.c
 *		The words that users write for operations, modes, limits and archives.
 *
 * The only place that translates between the texts and the C types, so that
 * a word means the same in an argument, in a table and in a message.  Words
 * are matched exactly, in lower case: a policy should not depend on guessing
 * what somebody meant.  Every refusal lists what would have been right.
 *
 * The length of a limit's interval is part of a table's key and of a window's
 * key in shared memory.  So it is reduced to one number of microseconds
 * (a month is 30 days, a day is 24 hours) and written in one way only: "1
 * hour", "60 minutes" and "PT1H" are the same limit, whatever IntervalStyle
 * the sessions have.  The parsing is done with the functions below
 * interval_in() rather than by it, because those return what is wrong instead
 * of raising an error that knows nothing of the other words allowed here.
 *
 * No state, no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "fg_types.h"

#define FG_MIN_INTERVAL		USECS_PER_SEC
#define FG_MAX_INTERVAL		(366 * USECS_PER_DAY)

/* the words, in the order of their enums */
static const char *const operation_names[FG_N_OPERATIONS] =
{"delete", "update", "truncate", "ddl", "admin"};
static const char *const mode_names[] = {"off", "audit", "block"};
static const char *const by_names[] = {"role", "client", "table"};

static int	word_index(const char *text, const char *const *words, int n_words);
static bool interval_usecs(const char *text, int64 *usecs);

/*
 * The place of a word in a list; -1 if it isn't there.
 */
static int
word_index(const char *text, const char *const *words, int n_words)
{
	for (int i = 0; i < n_words; i++)
	{
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	return -1;
}

FgOperation
fg_parse_operation(const char *text)
{
	int			i = word_index(text, operation_names, lengthof(operation_names));

	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized operation: \"%s\"", text),
				 errhint("Valid operations are \"delete\", \"update\", \"truncate\", \"ddl\" and \"admin\".")));
	return (FgOperation) i;
}

FgMode
fg_parse_mode(const char *text)
{
	int			i = word_index(text, mode_names, lengthof(mode_names));

	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized mode: \"%s\"", text),
				 errhint("Valid modes are \"block\", \"audit\" and \"off\".")));
	return (FgMode) i;
}

FgBy
fg_parse_by(const char *text)
{
	int			i = word_index(text, by_names, lengthof(by_names));

	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value for \"by\": \"%s\"", text),
				 errhint("Valid values are \"role\", \"client\" and \"table\".")));
	return (FgBy) i;
}

/*
 * 'none', or a list of 'delete' and 'update' in any order, each at most once.
 * Spaces around the words don't matter.
 */
int
fg_parse_archive(const char *text)
{
	int			archive = FG_ARCHIVE_NONE;
	bool		none = false;
	bool		valid = true;
	char	   *rest = pstrdup(text);

	while (rest != NULL && valid)
	{
		char	   *word = rest;
		char	   *end = strchr(word, ',');
		int			bit = 0;

		rest = NULL;
		if (end != NULL)
		{
			rest = end + 1;
			*end = '\0';
		}
		else
			end = word + strlen(word);
		while (*word == ' ')
			word++;
		while (end > word && end[-1] == ' ')
			*--end = '\0';

		if (strcmp(word, "none") == 0 && !none)
			none = true;
		else if (strcmp(word, "delete") == 0)
			bit = FG_ARCHIVE_DELETE;
		else if (strcmp(word, "update") == 0)
			bit = FG_ARCHIVE_UPDATE;
		else
			valid = false;
		if ((archive & bit) != 0)
			valid = false;
		archive |= bit;
	}

	if (!valid || (none && archive != FG_ARCHIVE_NONE))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value for \"archive\": \"%s\"", text),
				 errhint("Valid values are \"none\", \"delete\", \"update\" and \"delete,update\".")));
	return archive;
}

/*
 * Reads an interval as microseconds.  False if the text is no interval or
 * too large for the number.
 */
static bool
interval_usecs(const char *text, int64 *usecs)
{
	char		workbuf[256];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	int			result;
	struct pg_itm_in parts = {0};
	int64		days;

	result = ParseDateTime(text, workbuf, sizeof(workbuf), field, ftype,
						   MAXDATEFIELDS, &nf);
	if (result == 0)
		result = DecodeInterval(field, ftype, nf, INTERVAL_FULL_RANGE, &dtype,
								&parts);
	if (result == DTERR_BAD_FORMAT)
	{
		char	   *copy = pstrdup(text);

		memset(&parts, 0, sizeof(parts));
		result = DecodeISO8601Interval(copy, &dtype, &parts);
		pfree(copy);
	}
	if (result != 0 || dtype != DTK_DELTA)
		return false;

	/* years, months and days fit into 64 bits as days, but not as microseconds */
	days = ((int64) parts.tm_year * MONTHS_PER_YEAR + parts.tm_mon) * DAYS_PER_MONTH +
		parts.tm_mday;
	return !pg_mul_s64_overflow(days, USECS_PER_DAY, usecs) &&
		!pg_add_s64_overflow(*usecs, parts.tm_usec, usecs);
}

/*
 * 'statement', 'transaction' or an interval.  *interval is 0 unless *per is
 * FG_PER_INTERVAL.
 */
void
fg_parse_per(const char *text, FgPer *per, int64 *interval)
{
	*interval = 0;
	if (strcmp(text, "statement") == 0)
	{
		*per = FG_PER_STATEMENT;
		return;
	}
	if (strcmp(text, "transaction") == 0)
	{
		*per = FG_PER_TRANSACTION;
		return;
	}

	*per = FG_PER_INTERVAL;
	if (!interval_usecs(text, interval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value for \"per\": \"%s\"", text),
				 errhint("Valid values are \"statement\", \"transaction\" and intervals such as \"1 hour\".")));
	if (*interval < FG_MIN_INTERVAL || *interval > FG_MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval of a limit is out of range: \"%s\"", text),
				 errhint("The interval must be at least one second and at most 366 days; a month counts as 30 days.")));
}

const char *
fg_operation_name(FgOperation op)
{
	Assert((int) op >= 0 && op < lengthof(operation_names));
	return operation_names[op];
}

const char *
fg_mode_name(FgMode mode)
{
	Assert((int) mode >= 0 && mode < lengthof(mode_names));
	return mode_names[mode];
}

const char *
fg_by_name(FgBy by)
{
	Assert((int) by >= 0 && by < lengthof(by_names));
	return by_names[by];
}

const char *
fg_archive_name(int archive)
{
	switch (archive)
	{
		case FG_ARCHIVE_NONE:
			return "none";
		case FG_ARCHIVE_DELETE:
			return "delete";
		case FG_ARCHIVE_UPDATE:
			return "update";
		case FG_ARCHIVE_DELETE | FG_ARCHIVE_UPDATE:
			return "delete,update";
	}
	elog(ERROR, "unrecognized archive bits: %d", archive);
	return NULL;				/* keep the compiler quiet */
}

/*
 * The one way to write a limit's "per".  fg_parse_per() reads it back as the
 * same number.
 */
const char *
fg_per_name(FgPer per, int64 interval)
{
	struct pg_itm parts = {0};
	char		text[MAXDATELEN + 1];

	if (per == FG_PER_STATEMENT)
		return "statement";
	if (per == FG_PER_TRANSACTION)
		return "transaction";

	/* no months: they would have to be guessed from the number of days */
	parts.tm_mday = interval / USECS_PER_DAY;
	interval %= USECS_PER_DAY;
	parts.tm_hour = interval / USECS_PER_HOUR;
	interval %= USECS_PER_HOUR;
	parts.tm_min = interval / USECS_PER_MINUTE;
	interval %= USECS_PER_MINUTE;
	parts.tm_sec = interval / USECS_PER_SEC;
	parts.tm_usec = interval % USECS_PER_SEC;
	EncodeInterval(&parts, INTSTYLE_POSTGRES, text);
	return pstrdup(text);
}
