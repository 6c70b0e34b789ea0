"""libpq by itself: prepared statements of the protocol, parameters that reach
the server as parameters, and pipelines.  psycopg2 sends none of these."""

import ctypes
import ctypes.util

_library = ctypes.CDLL(ctypes.util.find_library('pq') or 'libpq.so.5')
_types = {'p': ctypes.c_void_p, 's': ctypes.c_char_p, 'i': ctypes.c_int, '-': None}
_SQLSTATE = ord('C')
_PIPELINE_SYNC = 10


def _declare(name, result, arguments):
    function = getattr(_library, name)
    function.restype = _types[result]
    function.argtypes = [_types[letter] for letter in arguments]
    return function


_connect = _declare('PQconnectdb', 'p', 's')
_finish = _declare('PQfinish', '-', 'p')
_status = _declare('PQstatus', 'i', 'p')
_error_message = _declare('PQerrorMessage', 's', 'p')
_exec = _declare('PQexec', 'p', 'ps')
_exec_params = _declare('PQexecParams', 'p', 'psippppi')
_prepare = _declare('PQprepare', 'p', 'pssip')
_exec_prepared = _declare('PQexecPrepared', 'p', 'psipppi')
_enter_pipeline = _declare('PQenterPipelineMode', 'i', 'p')
_exit_pipeline = _declare('PQexitPipelineMode', 'i', 'p')
_send_params = _declare('PQsendQueryParams', 'i', 'psippppi')
_pipeline_sync = _declare('PQpipelineSync', 'i', 'p')
_get_result = _declare('PQgetResult', 'p', 'p')
_result_status = _declare('PQresultStatus', 'i', 'p')
_error_field = _declare('PQresultErrorField', 's', 'pi')
_tuples_changed = _declare('PQcmdTuples', 's', 'p')
_clear = _declare('PQclear', '-', 'p')


def _values(parameters):
    """An array of the parameters as text."""
    texts = [str(parameter).encode() for parameter in parameters]
    return (ctypes.c_char_p * max(len(texts), 1))(*texts)


def _outcome(result):
    """The SQLSTATE of a result that is an error, otherwise "N rows"."""
    try:
        code = _error_field(result, _SQLSTATE)
        return code.decode() if code else '%s rows' % (_tuples_changed(result).decode() or '0')
    finally:
        _clear(result)


class Connection:
    def __init__(self, **options):
        text = ' '.join("%s='%s'" % option for option in options.items())
        self._connection = _connect(text.encode())
        if _status(self._connection) != 0:
            message = _error_message(self._connection).decode()
            self.close()
            raise ConnectionError(message)

    def close(self):
        if self._connection:
            _finish(self._connection)
            self._connection = None

    def run(self, sql):
        """By the simple protocol."""
        return _outcome(_exec(self._connection, sql.encode()))

    def run_with(self, sql, *parameters):
        """As an unnamed statement with parameters."""
        return _outcome(_exec_params(self._connection, sql.encode(), len(parameters), None,
                                     _values(parameters), None, None, 0))

    def prepare(self, name, sql):
        return _outcome(_prepare(self._connection, name.encode(), sql.encode(), 0, None))

    def run_prepared(self, name, *parameters):
        return _outcome(_exec_prepared(self._connection, name.encode(), len(parameters),
                                       _values(parameters), None, None, 0))

    def run_pipeline(self, *statements):
        """Several (sql, parameters...) sent at once, as one implicit transaction."""
        outcomes = []
        assert _enter_pipeline(self._connection) == 1
        for sql, *parameters in statements:
            assert _send_params(self._connection, sql.encode(), len(parameters), None,
                                _values(parameters), None, None, 0) == 1
        assert _pipeline_sync(self._connection) == 1
        while True:
            result = _get_result(self._connection)
            if not result:
                continue                # the end of one statement's results
            if _result_status(result) == _PIPELINE_SYNC:
                _clear(result)
                break
            outcomes.append(_outcome(result))
        assert _exit_pipeline(self._connection) == 1
        return outcomes
