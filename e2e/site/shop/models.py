"""Orders and their lines are protected (migrations/0002_protect.py), notes are not."""

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=50)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    total = models.DecimalField(max_digits=10, decimal_places=2)
    remark = models.CharField(max_length=200, default='')
    express = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=['total'], name='order_total')]


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    article = models.CharField(max_length=50)


class Note(models.Model):
    text = models.TextField()
