"""The stack on one machine: the same ``__main__.py``, evaluated in-process against an emulator on 127.0.0.1.

``stack.py`` is the way in. ``engines`` evaluate, ``provisioners`` make resources, ``supervisor.py`` runs processes.
"""
