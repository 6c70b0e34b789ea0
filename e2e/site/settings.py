"""Which database is told by the environment: SHOP_DATABASE, and PGHOST and PGPORT."""

import os

DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': os.environ.get('SHOP_DATABASE', 'shop'),
        'USER': 'regress_shop',
        'HOST': os.environ['PGHOST'],
        'PORT': os.environ['PGPORT'],
        'CONN_MAX_AGE': 600,
        'ATOMIC_REQUESTS': True,
        # the extension is in the template, since only a superuser can create it
        'TEST': {'NAME': os.environ.get('SHOP_TEST_DATABASE', 'test_shop'), 'TEMPLATE': 'shop_template'},
    }
}
INSTALLED_APPS = ['shop']
ROOT_URLCONF = 'shop.views'
SECRET_KEY = 'of no worth'
ALLOWED_HOSTS = ['*']
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
USE_TZ = True
LOGGING = {'version': 1, 'disable_existing_loggers': True}
