"""Tests of longwire.http: no network, wire bytes written as bytes."""
