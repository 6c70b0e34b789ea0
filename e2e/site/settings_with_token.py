"""As settings.py, with a token for the whole connection, from the environment."""

import os

from settings import *		# noqa

DATABASES['default']['OPTIONS'] = {'options': '-c fortress.token=' + os.environ['FORTRESS_TOKEN']}
