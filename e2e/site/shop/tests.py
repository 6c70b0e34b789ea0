"""The shop's own tests, which test_django.py has run by "manage.py test"."""

from django.test import TestCase, TransactionTestCase

from .models import Customer, Order


def make_orders():
    customer = Customer.objects.create(name='Ann')
    Order.objects.bulk_create(Order(customer=customer, total=i) for i in range(50))


class Rolled(TestCase):
    def test_delete_everything(self):
        make_orders()
        Order.objects.all().delete()
        self.assertEqual(Order.objects.count(), 0)


class Flushed(TransactionTestCase):
    """Django empties all tables afterwards, with TRUNCATE."""

    def test_orders(self):
        make_orders()
        self.assertEqual(Order.objects.count(), 50)
