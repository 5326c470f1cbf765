"""The admin, and the page of notifications."""

from django.contrib import admin
from django.urls import path

from .views import notifications

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", notifications),
]
