from django.http import HttpResponse
from django.urls import path

from .models import Note, Order


def wipe(request, last):
    """With ATOMIC_REQUESTS the note is as much part of the transaction as the rows."""
    Note.objects.create(text='wiping up to %d' % last)
    deleted, _ = Order.objects.filter(id__lte=last).delete()
    return HttpResponse('%d rows' % deleted)


urlpatterns = [path('wipe/<int:last>', wipe)]
