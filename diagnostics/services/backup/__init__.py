"""Backups of rows and objects, sealed before they leave the machine, and the way back from one.

The rows are copied first, then the objects: every row's object was stored before the row. The ends of the audit log go the
other way round, since their entries come before them.
"""
